#!/usr/bin/env bash
# Installs nginx and Caddy with the machine's package manager, unless they are there: the tests of the
# configurations in deploy/ use the real servers. Only the programs are wanted: the services that the
# packages bring are not started, neither now nor at the next start of the machine.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .ci/packages.sh

# Debian asks this file before it starts a service of a package; 101 is "not allowed".
policy=/usr/sbin/policy-rc.d

main() {
    local program
    # Where they are is not always in the PATH of somebody who is not root.
    export PATH=$PATH:/usr/sbin:/usr/local/sbin
    for program in nginx caddy; do
        if ! command -v "$program" >/dev/null; then
            echo "installing $program" >&2
            quietly "$program"
        fi
        if ! command -v "$program" >/dev/null; then
            echo "install-proxies.sh: $program could not be installed here: install it so that it is in the PATH" >&2
            exit 1
        fi
    done
}

quietly() {
    local ours=''
    if command -v apt-get >/dev/null && [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        ours=yes
    fi
    local package=$1
    # The smallest package that has `auth_request` and TLS.
    [[ $package != nginx ]] || package=nginx-light
    install apt-get "$package" "$1" -- dnf "$1" -- zypper "$1" -- pacman "$1" -- apk "$1" -- brew "$1" || true
    [[ -z $ours ]] || as_root rm -f "$policy"
    # A machine with systemd would start them when it starts next.
    if [[ -d /run/systemd/system ]]; then
        as_root systemctl disable --quiet "$1" 2>/dev/null || true
    fi
}

main
