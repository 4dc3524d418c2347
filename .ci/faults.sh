#!/usr/bin/env bash
# What takes longer than a run of all tests may, in which of it there is a part:
#
#   faults.sh test   every fault in every step of every operation; FAULTS=… only some, see tests/it/faults/mod.rs
#   faults.sh soak   MINUTES (2) of operations, traffic, faults, kills and restarts, as SEED decides
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

.ci/install-postgres.sh
target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
cargo build --package tenantry --features tenantry/faults
export TENANTRY_BIN=$target/debug/tenantry

case ${1:-} in
test)
    export TENANTRY_TEST_FAULTS=${FAULTS:-all}
    cargo test --package tenantry-tests -- faults:: --nocapture
    ;;
soak)
    export TENANTRY_TEST_SOAK_MINUTES=${MINUTES:-} TENANTRY_TEST_SOAK_SEED=${SEED:-}
    cargo test --package tenantry-tests -- faults::soak:: --ignored --nocapture
    ;;
*)
    sed -n 's/^#   //p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
