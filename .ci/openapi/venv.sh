# A shell function that makes the Python environment of the checks in this folder; sourced, not run.

# Prints the folder of its programs. It lies under the given folder and is made anew when the pinned
# versions change.
openapi_venv() {
    local dir=$1/openapi-venv
    local wanted=.ci/openapi/requirements.txt
    if ! cmp -s "$wanted" "$dir/made-from"; then
        rm -rf "$dir"
        echo "installing $(paste -sd' ' "$wanted")" >&2
        if ! python3 -m venv "$dir" >&2; then
            rm -rf "$dir"
            install apt-get python3-venv -- dnf python3 -- zypper python3 -- pacman python -- apk python3 -- brew python ||
                return 1
            python3 -m venv "$dir" >&2 || return 1
        fi
        "$dir/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted" >&2 || return 1
        cp "$wanted" "$dir/made-from"
    fi
    echo "$dir/bin"
}
