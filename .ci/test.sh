#!/usr/bin/env bash
# Runs all tests: unit, database and end-to-end. Arguments go to cargo-nextest, or to `cargo test`
# where that is not installed. The end of the output and the exit code are the runner's own.
#
#   TENANTRY_SKIP_EXTRA_PG=1   tests on the installed Postgres only
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

.ci/install-postgres.sh
target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')

if [[ ${TENANTRY_SKIP_EXTRA_PG:-} != 1 ]]; then
    TENANTRY_TEST_PG_BINS=$(.ci/extra-postgres.sh "$target/postgres")
    export TENANTRY_TEST_PG_BINS
fi

# The end-to-end tests run the real program, with the points at which they make it fail.
cargo build --package tenantry --features faults
export TENANTRY_BIN=$target/debug/tenantry

if cargo nextest --version >/dev/null 2>&1; then
    exec cargo nextest run --workspace "$@"
fi
exec cargo test --workspace "$@"
