#!/usr/bin/env bash
# Installs what the tests of completions and manual pages try them with: zsh, fish, mandoc. A test
# whose program is not there says so and passes, so that nobody needs them.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .ci/packages.sh

for program in zsh fish mandoc; do
    if ! command -v "$program" >/dev/null; then
        install apt-get "$program" -- dnf "$program" -- zypper "$program" -- pacman "$program" \
            -- apk "$program" -- brew "$program" ||
            echo "going on without $program" >&2
    fi
done
