#!/usr/bin/env bash
# Installs Chromium and its driver with the machine's package manager, unless they are there: the
# tests of the pages use a real browser.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .ci/packages.sh

has_browser() {
    command -v chromedriver >/dev/null &&
        { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null
}

if has_browser; then
    exit
fi
echo "installing Chromium" >&2
# The driver's package brings the browser along, where they are two.
install apt-get chromium-driver -- dnf chromedriver -- zypper chromedriver -- pacman chromium \
    -- apk chromium-chromedriver -- brew chromedriver || true
# Without a font nothing is written on a page.
install apt-get fonts-dejavu-core -- dnf dejavu-sans-fonts -- zypper dejavu-fonts -- pacman ttf-dejavu \
    -- apk font-dejavu || true
if ! has_browser; then
    echo "install-browser.sh: Chromium could not be installed here: install chromium and chromium-driver (the programs chromium and chromedriver, of one version)" >&2
    exit 1
fi
