# Shell functions shared by the scripts of this folder; sourced, not run.
# They know where Postgres is and how to run it: it refuses to work as root, so that root hands
# over to an unprivileged user, as crates/devpg does.
#
# `return` always has its number: without one it gives, in an EXIT trap, the status from before the
# trap, and the server would not be stopped.

# Prints the folder with the server's programs: the wanted major (default 15) where there is one,
# else the newest of 14 to 18. Fails, saying nothing, where there is none.
pg_bindir() {
    local want=${1:-15} major dir
    local -a dirs=()
    if [[ -n ${TENANTRY_PG_BIN:-} ]]; then
        dirs+=("$TENANTRY_PG_BIN")
    fi
    for major in "$want" 18 17 16 15 14; do
        dirs+=("/usr/lib/postgresql/$major/bin" "/opt/homebrew/opt/postgresql@$major/bin"
            "/usr/local/opt/postgresql@$major/bin" "/usr/pgsql-$major/bin")
    done
    dirs+=(/usr/local/pgsql/bin)
    if command -v pg_config >/dev/null; then
        dirs+=("$(pg_config --bindir)")
    fi
    if command -v postgres >/dev/null; then
        dirs+=("$(dirname "$(command -v postgres)")")
    fi
    for dir in "${dirs[@]}"; do
        if [[ -x $dir/postgres && -x $dir/initdb && -x $dir/pg_ctl ]]; then
            echo "$dir"
            return 0
        fi
    done
    return 1
}

# The user that Postgres runs as: this one, or where this one is root, `postgres` or `nobody`.
pg_user() {
    if [[ $(id -u) != 0 ]]; then
        id -un
    elif id postgres >/dev/null 2>&1; then
        echo postgres
    else
        echo nobody
    fi
}

# Runs a command as that user, from a folder it can enter.
as_pg() {
    if [[ $(id -u) != 0 ]]; then
        "$@"
    else
        (cd / && runuser -u "$(pg_user)" -- "$@")
    fi
}

# Prints a port of the loopback on which nobody listens now.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return 0
        fi
    done
}

# 128 random bits in hexadecimal.
random_hex() {
    od -An -N16 -tx1 /dev/urandom | tr -d ' \n'
}
