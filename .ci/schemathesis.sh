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
    run "the tenant API" "acme.localhost:$port" accessToken "$access" "$user" "$real_at_tenant" --exclude-path-regex "$base_only"
    run "the setup API" "localhost:$port" operatorToken "$token" "dev,$operator" "$real_at_base" --include-path-regex "$at_base"
    still_there
    if [[ ${#wrong[@]} != 0 ]]; then
        die "not as docs/openapi.json says: ${wrong[*]}"
    fi
}

wrong=()

# Paths that answer at a base domain, or anywhere.
base_only='^/(setup/|docs|openapi\.json|healthz|readyz|\.well-known/)'
# And one that means another thing there than at a tenant's host.
at_base='^/(setup/|docs|openapi\.json|healthz|readyz|\.well-known/|auth/login$)'

start() {
    local attempt
    port=$(free_port)
    # A developer's own settings stay out, but for where Postgres is.
    (
        for name in $(compgen -e TENANTRY_ | grep -vx TENANTRY_PG_BIN); do unset "$name"; done
        # Longer than the checks take: the code that is shown to be right waits for its turn.
        export TENANTRY_SIGN_IN_CODE_TTL=1h
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

# A tenant, a deleted one, a signed-in person and another, and who we are.
people() {
    local login='{"email": "ann@acme.example", "password": "correct horse battery"}' answer bob alias wonka creation visitor robot looked
    local -a json=(-H 'Content-Type: application/json')
    local -a operating=(-H "Authorization: Bearer $token")
    ask localhost /setup/tenants "${operating[@]}" "${json[@]}" \
        -d "{\"name\": \"Acme\", \"slug\": \"acme\", \"admin\": $login}" >/dev/null
    ask localhost /setup/tenants "${operating[@]}" "${json[@]}" -d '{"name": "Initech", "slug": "initech"}' >/dev/null
    ask localhost /setup/tenants/initech "${operating[@]}" -X DELETE >/dev/null
    ask localhost /setup/tenants "${operating[@]}" "${json[@]}" -d '{"name": "Umbrella", "slug": "umbrella"}' >"$tmp/umbrella"
    kept=umbrella,wonka,$(field tenantId "$(cat "$tmp/umbrella")")
    ask localhost /setup/tenants/umbrella/domains/shop.umbrella.example "${operating[@]}" -X PUT >/dev/null
    answer=$(ask localhost /setup/tenants "${operating[@]}" "${json[@]}" -d '{"name": "Wonka", "slug": "wonka"}')
    wonka=$(field tenantId "$answer")
    kept+=,$wonka
    creation=$(field operationId "$answer")
    alias=$(field aliasId "$(ask localhost /setup/tenants/umbrella/aliases "${operating[@]}" "${json[@]}" -X PUT \
        -d '{"kind": "appId", "value": "umbrella-shop"}')")
    visitor=$(field dbUsername "$(ask localhost /setup/tenants/umbrella/logins "${operating[@]}" "${json[@]}" \
        -d '{"role": "readonly", "ttl": "1h"}')")
    looked=$(field runId "$(ask localhost /setup/doctor "${operating[@]}" "${json[@]}" -d '{"quick": true}')")
    operator=$(field operatorId "$(ask localhost /setup/operators "${operating[@]}")")
    robot=$(field operatorId "$(ask localhost /setup/operators "${operating[@]}" "${json[@]}" -d '{"name": "robot"}')")

    answer=$(ask acme.localhost /auth/login "${json[@]}" -d "$login")
    access=$(field accessToken "$answer")
    user=$(field userId "$answer")
    bob=$(field userId "$(ask acme.localhost /users -H "Authorization: Bearer $access" "${json[@]}" -d '{"email": "bob.the.other@acme.example"}')")
    # Another session's: the one in use goes on.
    answer=$(ask acme.localhost /auth/login "${json[@]}" -d "$login")
    local code
    code=$(field code "$(ask localhost /auth/login "${json[@]}" -d "$login")")
    ask acme.localhost /auth/redeem "${json[@]}" -d "{\"code\": \"$code\"}" >/dev/null
    code=$(field code "$(ask localhost /auth/login "${json[@]}" -d "$login")")
    real_at_tenant='{"POST /auth/redeem": {"body": {"code": "'$code'"}}, "POST /auth/login": {"body": '$login'},
        "PATCH /users/{user}": {"path": {"user": "'$bob'"}}, "GET /users/{user}": {"path": {"user": "'$bob'"}},
        "POST /auth/refresh": {"body": {"refreshToken": "'$(field refreshToken "$answer")'"}}}'
    real_at_base='{"POST /auth/login": {"body": '$login'},
        "POST /setup/tenants/{tenant}/undelete": {"path": {"tenant": "initech"}},
        "GET /setup/operations/{operation}": {"path": {"operation": "'$creation'"}},
        "GET /setup/operations/{operation}/events": {"path": {"operation": "'$creation'"}},
        "POST /setup/clusters/{cluster}/drain": {"path": {"cluster": "none"}},
        "GET /setup/doctor/{run}": {"path": {"run": "'$looked'"}},
        "GET /setup/tenants/{tenant}": {"path": {"tenant": "initech"}},
        "PATCH /setup/operators/{operator}": {"path": {"operator": "'$robot'"}},
        "POST /setup/operators/{operator}/rotate": {"path": {"operator": "'$robot'"}},
        "PATCH /setup/tenants/{tenant}": {"path": {"tenant": "'$wonka'"}},
        "POST /setup/tenants/{tenant}/suspend": {"path": {"tenant": "'$wonka'"}},
        "POST /setup/tenants/{tenant}/resume": {"path": {"tenant": "'$wonka'"}},
        "POST /setup/tenants/{tenant}/rename": {"path": {"tenant": "'$wonka'"}},
        "POST /setup/tenants/{tenant}/credentials": {"path": {"tenant": "umbrella"}},
        "POST /setup/tenants/{tenant}/rotate-credentials": {"path": {"tenant": "umbrella"}},
        "POST /setup/tenants/{tenant}/logins": {"path": {"tenant": "umbrella"}},
        "DELETE /setup/tenants/{tenant}/logins/{login}": {"path": {"tenant": "umbrella", "login": "'$visitor'"}},
        "DELETE /setup/tenants/{tenant}/domains/{domain}":
            {"path": {"tenant": "umbrella", "domain": "shop.umbrella.example"}},
        "DELETE /setup/tenants/{tenant}/aliases":
            {"path": {"tenant": "umbrella"}, "query": {"aliasId": "'$alias'"}}}'
}

field() { # name, JSON
    sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p' <<<"$2"
}

run() { # name, host, scheme, token, own ids, what is there, arguments of schemathesis
    local name=$1 host=$2 scheme=$3 secret=$4 own=$5 real=$6 log
    shift 6
    log=$tmp/$scheme.log
    { cat .ci/openapi/schemathesis.toml; printf '\n[auth.openapi.%s]\nbearer = "${TENANTRY_CHECK_TOKEN}"\n' "$scheme"; } >"$tmp/$scheme.toml"
    echo "schemathesis: $name" >&2
    # From a folder that goes away: it keeps notes where it runs.
    if ! (
        export TENANTRY_CHECK_TOKEN=$secret TENANTRY_OWN=$own TENANTRY_REAL=$real TENANTRY_KEPT=$kept
        export SCHEMATHESIS_HOOKS=$PWD/.ci/openapi/hooks.py
        cd "$tmp"
        exec "$venv/schemathesis" --config-file "$tmp/$scheme.toml" run openapi.json --url "http://127.0.0.1:$port" \
            --header "Host: $host" --checks all --no-color "$@"
    ) >"$log" 2>&1; then
        cat "$log" >&2
        wrong+=("$name")
        return
    fi
    grep -E 'Test cases|passed' "$log" >&2 || true
}

# Were the tokens worthless by now, or a route never reached, the checks above would mean little.
still_there() {
    local unmet
    ask localhost /setup/operators -H "Authorization: Bearer $token" >/dev/null ||
        die "the operator's token ended during the checks"
    if grep -q ' ERROR ' "$tmp/log"; then
        grep ' ERROR ' "$tmp/log" | head -20 >&2
        die "the server logged errors"
    fi
    # A domain is verified by a record in the DNS, of which there is none here, and what is decided about an
    # operation needs one that is on its way or parked; there is one server, which is a cluster already and is
    # not to be drained; and nobody made a database to be adopted. tests/it has them.
    unmet=$(comm -23 <(routes | sort -u) <(succeeded | sort -u) |
        grep -vxF -e 'POST /setup/tenants/{tenant}/domains/{domain}/verify' \
            -e 'POST /setup/operations/{operation}/cancel' -e 'POST /setup/operations/{operation}/retry' \
            -e 'POST /setup/operations/{operation}/abandon' \
            -e 'POST /setup/adoptions' -e 'POST /setup/tenants/{tenant}/unadopt' \
            -e 'POST /setup/clusters' -e 'DELETE /setup/clusters/{cluster}' \
            -e 'POST /setup/clusters/{cluster}/drain' || true)
    [[ -z $unmet ]] || die "never answered with a success: $unmet"
}

# What the document has, as lines of method and path.
routes() {
    "$venv/python" -c 'import json, sys
for path, item in json.load(open(sys.argv[1]))["paths"].items():
    for method in item: print(method.upper(), path)' "$tmp/openapi.json"
}

# What the server's log shows to have been done.
succeeded() {
    sed -nE 's/.*method="?([A-Z]+)"? route="([^"]*)".*answered status=[23].*/\1 \2/p' "$tmp/log"
}

die() {
    echo "schemathesis.sh: $*" >&2
    exit 1
}

main "$@"
