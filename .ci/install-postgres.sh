#!/usr/bin/env bash
# Installs Postgres (15 where there is a choice) with the machine's package manager, unless one is
# there. Fails where it cannot; `tenantry dev` then downloads one by itself.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .ci/postgres.sh
source .ci/packages.sh

if pg_bindir 15 >/dev/null; then
    exit
fi
echo "installing Postgres" >&2
install apt-get postgresql-15 postgresql -- dnf postgresql15-server postgresql-server \
    -- zypper postgresql15-server postgresql-server -- pacman postgresql \
    -- apk postgresql15 postgresql -- brew postgresql@15 || true
if ! pg_bindir 15 >/dev/null; then
    echo "install-postgres.sh: Postgres could not be installed here: install a version from 14 to 18, or name the folder of its programs in TENANTRY_PG_BIN" >&2
    exit 1
fi
