#!/usr/bin/env bash
# Runs all tests: unit, database and end-to-end. Arguments go to `cargo test`. The end of the output
# and the exit code are cargo's own, unless a server's log holds what it must not: that is told last.
#
#   TENANTRY_SKIP_EXTRA_PG=1   tests on the installed Postgres only
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

.ci/install-postgres.sh
.ci/install-browser.sh
.ci/install-shells.sh
.ci/install-proxies.sh
target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')

if [[ ${TENANTRY_SKIP_EXTRA_PG:-} != 1 ]]; then
    TENANTRY_TEST_PG_BINS=$(.ci/extra-postgres.sh "$target/postgres")
    export TENANTRY_TEST_PG_BINS
fi

TENANTRY_AXE=$(.ci/axe.sh "$target/axe")
export TENANTRY_AXE

# The end-to-end tests run the real program, with the points at which they make it fail. The same
# packages and features in both lines, so that nothing is built twice.
most=(--workspace --exclude tenantry-tests --features tenantry/faults)
cargo build "${most[@]}" --bins
cargo test "${most[@]}" --no-fail-fast "$@"

# The HTTP interface against its own description. Only when everything is tested: it takes minutes.
if [[ $# == 0 ]]; then
    TENANTRY_BIN=$target/debug/tenantry .ci/schemathesis.sh
fi

# Last, because its summary is the one that says whether the product works. Its tests mostly wait,
# hence more of them at once than there are cores.
export TENANTRY_BIN=$target/debug/tenantry
export TENANTRY_TEST_LOGS=$target/test-logs
rm -rf "$TENANTRY_TEST_LOGS"
status=0
cargo test --package tenantry-tests "$@" -- --test-threads=4 || status=$?
# Silent unless a log holds what it must not. (Arguments may have left no server to log.)
if [[ $# -eq 0 || -d $TENANTRY_TEST_LOGS ]]; then
    .ci/logs.sh "$TENANTRY_TEST_LOGS" || status=1
fi
exit "$status"
