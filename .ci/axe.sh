#!/usr/bin/env bash
# Fetches axe-core, which checks pages for accessibility, for tests: .ci/axe.sh DIR puts its script
# into DIR and prints where it is. An exact version; npm checks the sum that its registry gives.
# What is there already is not fetched again.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .ci/packages.sh

version=4.14.1

main() {
    local store=${1:?usage: .ci/axe.sh DIR} new
    mkdir -p "$store"
    store=$(cd "$store" && pwd)
    if [[ ! -f $store/axe-$version.js ]]; then
        command -v npm >/dev/null || install apt-get npm -- dnf nodejs-npm npm -- zypper npm-default -- pacman npm -- apk npm -- brew node ||
            die "npm is needed to fetch axe-core: install it"
        echo "fetching axe-core@$version" >&2
        new=$(mktemp -d "$store/new.XXXXXX")
        (cd "$new" && npm pack --silent "axe-core@$version" >/dev/null </dev/null) ||
            die "axe-core@$version could not be fetched: look at npm's registry and the network"
        tar -xzf "$new"/*.tgz -C "$new" package/axe.min.js
        # Renamed into its place, so that a script that is there is complete.
        mv "$new/package/axe.min.js" "$store/axe-$version.js"
        rm -rf "$new"
    fi
    ln -sfn "axe-$version.js" "$store/axe.js"
    echo "$store/axe.js"
}

die() {
    echo "axe.sh: $*" >&2
    exit 1
}

main "$@"
