#!/usr/bin/env bash
# Fails where docs/openapi.json is not what the code says, is no valid OpenAPI 3.1, or has an example
# that does not fit its schema.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .ci/packages.sh
source .ci/openapi/venv.sh

target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
if ! cargo run --quiet --package tenantry -- openapi | diff -u docs/openapi.json - >&2; then
    echo "openapi.sh: docs/openapi.json is not what the code says: run 'make openapi' and commit it" >&2
    exit 1
fi
"$(openapi_venv "$target")/python" .ci/openapi/check.py docs/openapi.json
