#!/usr/bin/env bash
# Keeps the query data of sqlx's macros (crates/*/.sqlx) current, without sqlx-cli.
#
#   .ci/sqlx.sh prepare   writes crates/catalog/.sqlx and crates/tenantdb/.sqlx anew
#   .ci/sqlx.sh check     fails where the committed ones differ from that
#   .ci/sqlx.sh serve     starts a server for live checking and prints two export lines:
#                             eval "$(.ci/sqlx.sh serve)"
#   .ci/sqlx.sh reset     makes its two databases anew from the migrations
#   .ci/sqlx.sh stop      stops it
#
# There are two databases, because the catalog and a tenant's database have the same table names
# and each crate checks its queries against its own (see `database-url-var` in its sqlx.toml).
# Postgres 15 is preferred: which columns may be null is read from the planner's output, which
# may differ between versions.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .ci/postgres.sh

root=$PWD
crates=(catalog tenantdb)
catalog_var=TENANTRY_CATALOG_DEV_URL
tenantdb_var=TENANTRY_TENANT_DEV_URL

main() {
    case ${1:-} in
        prepare | check) throwaway "$1" ;;
        serve) serve ;;
        reset) reset ;;
        stop) stop ;;
        *)
            sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
            exit 2
            ;;
    esac
}

# One server: a folder with pgdata, log, port and password.

start_server() {
    local dir=$1 attempt
    bindir=$(pg_bindir 15) || die "no Postgres found: run .ci/install-postgres.sh"
    if [[ ! -f $dir/ready ]]; then
        rm -rf "$dir/pgdata"
        random_hex >"$dir/password"
        chmod 600 "$dir/password"
        own "$dir"
        as_pg "$bindir/initdb" --pgdata="$dir/pgdata" --username=postgres --encoding=UTF8 \
            --locale=C --auth=scram-sha-256 --pwfile="$dir/password" --no-sync >"$dir/initdb.log" 2>&1 ||
            die "initdb failed: $(cat "$dir/initdb.log")"
        touch "$dir/ready"
    fi
    for attempt in 1 2 3 4 5; do
        free_port >"$dir/port"
        if as_pg "$bindir/pg_ctl" --pgdata="$dir/pgdata" --log="$dir/log" --wait --silent start \
            -o "-p $(cat "$dir/port") -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off" \
            >&2; then
            return 0
        fi
    done
    die "Postgres does not start: $(tail -5 "$dir/log")"
}

stop_server() {
    local dir=$1
    if running "$dir"; then
        bindir=$(pg_bindir 15)
        as_pg "$bindir/pg_ctl" --pgdata="$dir/pgdata" --mode=immediate --wait --silent stop >&2 || true
    fi
}

running() {
    [[ -f $1/pgdata/postmaster.pid ]] && kill -0 "$(head -1 "$1/pgdata/postmaster.pid")" 2>/dev/null
}

own() {
    if [[ $(id -u) == 0 ]]; then
        chown -R "$(pg_user)" "$1"
    fi
}

url() { # folder, database
    echo "postgres://postgres:$(cat "$1/password")@127.0.0.1:$(cat "$1/port")/$2"
}

query() { # folder, database, arguments of psql
    local dir=$1 database=$2
    shift 2
    PGOPTIONS='-c client_min_messages=warning' "${bindir:-$(pg_bindir 15)}/psql" "$(url "$dir" "$database")" \
        --no-psqlrc --quiet --set=ON_ERROR_STOP=1 "$@" >&2
}

# Both databases anew, from the migrations in the order of their names. A file that fails does not
# keep the others out, so that one half-written migration does not stop all who write queries.
make_databases() {
    local dir=$1 failed=0 database
    for database in catalog tenant; do
        query "$dir" postgres -c "DROP DATABASE IF EXISTS $database WITH (FORCE)" -c "CREATE DATABASE $database"
    done
    apply "$dir" catalog "$root"/migrations-central/*.sql || failed=1
    if [[ -f crates/tenantdb/dev-preamble.sql ]]; then
        query "$dir" tenant --file="$root/crates/tenantdb/dev-preamble.sql" || failed=1
    else
        query "$dir" tenant --command='CREATE ROLE tenantry_owner; CREATE ROLE tenantry_app; CREATE ROLE tenantry_readonly; CREATE SCHEMA tenantry; CREATE SCHEMA tenantry_self'
    fi
    apply "$dir" tenant "$root"/migrations-tenant/*.sql || failed=1
    return "$failed"
}

apply() {
    local dir=$1 database=$2 failed=0 file
    shift 2
    for file in "$@"; do
        if [[ -s $file ]]; then
            query "$dir" "$database" --file="$file" || failed=1
        fi
    done
    return "$failed"
}

# The developer's server, under target/.

dev=$root/target/sqlx-dev

serve() {
    if ! running "$dev"; then
        mkdir -p "$dev"
        start_server "$dev"
        make_databases "$dev" || echo "the migrations do not apply yet: correct them, then run .ci/sqlx.sh reset" >&2
    fi
    echo "export $catalog_var=$(url "$dev" catalog)"
    echo "export $tenantdb_var=$(url "$dev" tenant)"
}

reset() {
    running "$dev" || die "no server for live checking: run .ci/sqlx.sh serve"
    make_databases "$dev"
}

stop() {
    stop_server "$dev"
}

# A server for one run.

throwaway() {
    tmp=$(mktemp -d "${TMPDIR:-/tmp}/tenantry-sqlx.XXXXXX")
    chmod 755 "$tmp"
    trap 'stop_server "$tmp"; rm -rf "$tmp"' EXIT
    start_server "$tmp"
    make_databases "$tmp"

    local crate stale=0
    for crate in "${crates[@]}"; do
        write_query_data "$crate"
        case $1 in
            prepare) publish "$crate" ;;
            check) compare "$crate" || stale=1 ;;
        esac
    done
    if [[ $stale == 1 ]]; then
        die "the query data is not current: run 'make sqlx' and commit what it writes"
    fi
}

# The macros run only when the crate is compiled, and cargo does not know that they read the
# database: a touched root makes it compile.
write_query_data() {
    local crate=$1
    mkdir -p "$tmp/$crate"
    touch "crates/$crate/src/lib.rs"
    env SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$tmp/$crate" \
        "$catalog_var=$(url "$tmp" catalog)" "$tenantdb_var=$(url "$tmp" tenant)" \
        cargo check --quiet --package "tenantry-$crate" --all-targets
}

publish() {
    local crate=$1
    rm -rf "crates/$crate/.sqlx"
    if [[ -n $(ls "$tmp/$crate") ]]; then
        mkdir "crates/$crate/.sqlx"
        cp "$tmp/$crate"/*.json "crates/$crate/.sqlx/"
    fi
    echo "crates/$crate/.sqlx: $(find "$tmp/$crate" -name '*.json' | wc -l) queries"
}

compare() {
    local crate=$1 committed=crates/$1/.sqlx
    if [[ ! -d $committed ]]; then
        committed=$tmp/none
        mkdir -p "$committed"
    fi
    diff -r "$committed" "$tmp/$crate" >&2
}

die() {
    echo "sqlx.sh: $*" >&2
    exit 1
}

main "$@"
