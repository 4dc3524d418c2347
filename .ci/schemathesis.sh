#!/usr/bin/env bash
# Asks the running program, as its OpenAPI document says, whatever can be asked, with all checks of
# schemathesis: no 5xx, and every answer as documented.
#
#   TENANTRY_BIN=…             the program (default: built)
#   TENANTRY_SKIP_OPENAPI=1    does nothing
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .ci/packages.sh
source .ci/postgres.sh
source .ci/openapi/venv.sh

main() {
    if [[ ${TENANTRY_SKIP_OPENAPI:-} == 1 ]]; then
        return
    fi
    local target
    target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
    bin=${TENANTRY_BIN:-}
    if [[ -z $bin ]]; then
        cargo build --package tenantry
        bin=$target/debug/tenantry
    fi
    venv=$(openapi_venv "$target")

    tmp=$(mktemp -d "${TMPDIR:-/tmp}/tenantry-openapi.XXXXXX")
    chmod 755 "$tmp"
    trap stop EXIT
    env -u TENANTRY_BIN "$bin" openapi >"$tmp/openapi.json"
    start
    people

    # The tenant first: what is done to tenants below may end it.
    run "the tenant API" "acme.localhost:$port" accessToken "$access" "$user" --exclude-path-regex "$base_only"
    run "the setup API" "localhost:$port" operatorToken "$token" "dev,$operator" --include-path-regex "$base_only"
    still_there
}

# Paths that answer at a base domain, or anywhere.
base_only='^/(setup/|docs|openapi\.json|healthz|readyz|\.well-known/)'

start() {
    local attempt
    port=$(free_port)
    # A developer's own settings stay out, but for where Postgres is.
    (
        for name in $(compgen -e TENANTRY_ | grep -vx TENANTRY_PG_BIN); do unset "$name"; done
        exec "$bin" dev --port "$port" --data "$tmp/data" >"$tmp/banner" 2>"$tmp/log"
    ) &
    pid=$!
    for attempt in {1..600}; do
        if [[ -f $tmp/data/operator-token ]] && ask localhost /readyz >/dev/null 2>&1; then
            token=$(cat "$tmp/data/operator-token")
            return
        fi
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    die "tenantry dev did not start: $(tail -5 "$tmp/log")"
}

stop() {
    if [[ -n ${pid:-} ]] && kill -0 "$pid" 2>/dev/null; then
        kill "$pid"
        wait "$pid" || true
    fi
    rm -rf "$tmp"
}

ask() { # host, path, arguments of curl
    local host=$1 path=$2
    shift 2
    curl --silent --show-error --fail --header "Host: $host:$port" "$@" "http://127.0.0.1:$port$path"
}

# A tenant, a signed-in person of it, and who we are.
people() {
    local login='{"email": "ann@acme.example", "password": "correct horse battery"}' answer
    ask localhost /setup/tenants -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
        -d "{\"name\": \"Acme\", \"slug\": \"acme\", \"admin\": $login}" >/dev/null
    answer=$(ask acme.localhost /auth/login -H 'Content-Type: application/json' -d "$login")
    access=$(field accessToken "$answer")
    user=$(field userId "$answer")
    operator=$(field operatorId "$(ask localhost /setup/operators -H "Authorization: Bearer $token")")
}

field() { # name, JSON
    sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p' <<<"$2"
}

run() { # name, host, scheme, token, own ids, arguments of schemathesis
    local name=$1 host=$2 scheme=$3 secret=$4 own=$5 log
    shift 5
    log=$tmp/$scheme.log
    { cat .ci/openapi/schemathesis.toml; printf '\n[auth.openapi.%s]\nbearer = "${TENANTRY_CHECK_TOKEN}"\n' "$scheme"; } >"$tmp/$scheme.toml"
    echo "schemathesis: $name" >&2
    if ! TENANTRY_CHECK_TOKEN=$secret TENANTRY_OWN=$own SCHEMATHESIS_HOOKS=.ci/openapi/hooks.py PYTHONPATH=$PWD \
        "$venv/schemathesis" --config-file "$tmp/$scheme.toml" run "$tmp/openapi.json" --url "http://127.0.0.1:$port" \
        --header "Host: $host" --checks all --no-color "$@" >"$log" 2>&1; then
        cat "$log" >&2
        die "$name does not do what docs/openapi.json says"
    fi
    grep -E 'Test cases|passed' "$log" >&2 || true
}

# Were the tokens worthless by now, the checks above would have seen refusals only.
still_there() {
    ask localhost /setup/operators -H "Authorization: Bearer $token" >/dev/null ||
        die "the operator's token ended during the checks"
    if grep -qE '"?level"?[:=]"?error|^[^ ]+ +ERROR' "$tmp/log"; then
        grep -E 'ERROR' "$tmp/log" | head -20 >&2
        die "the server logged errors"
    fi
}

die() {
    echo "schemathesis.sh: $*" >&2
    exit 1
}

main "$@"
