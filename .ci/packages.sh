# Shell functions that install what a script needs with the machine's package manager; sourced,
# not run.

# Installs the first of some packages that the machine's package manager has; its name for the
# manager comes before the packages: `install apt-get npm -- dnf nodejs-npm -- brew node`.
install() {
    local manager=''
    local package
    while [[ $# -gt 0 ]]; do
        manager=$1
        shift
        if command -v "$manager" >/dev/null; then
            while [[ $# -gt 0 && $1 != -- ]]; do
                package=$1
                shift
                if install_with "$manager" "$package"; then
                    return 0
                fi
            done
            return 1
        fi
        while [[ $# -gt 0 && $1 != -- ]]; do shift; done
        [[ $# == 0 ]] || shift
    done
    return 1
}

install_with() {
    case $1 in
        apt-get)
            if ! apt-cache show "$2" >/dev/null 2>&1; then
                as_root apt-get update
            fi
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$2"
            ;;
        dnf) as_root dnf install -y "$2" ;;
        zypper) as_root zypper --non-interactive install "$2" ;;
        pacman) as_root pacman -Sy --noconfirm "$2" ;;
        apk) as_root apk add "$2" ;;
        brew) brew install "$2" ;;
    esac </dev/null >&2
}

as_root() {
    if [[ $(id -u) == 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "this needs root: $*" >&2
        return 1
    fi
}
