#!/usr/bin/env bash
# Installs what the tests of completions and manual pages try them with: zsh, fish, man, mandoc.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .ci/packages.sh

for program in zsh fish mandoc man; do
    if ! command -v "$program" >/dev/null; then
        package=$program
        [[ $program != man ]] || package=man-db
        install apt-get "$package" -- dnf "$package" -- zypper "$program" -- pacman "$package" \
            -- apk "$program" -- brew "$program"
    fi
done
