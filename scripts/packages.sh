# Sourced by try.sh and test.sh: Debian and Ubuntu packages, installed where that is allowed.
# LOWTIDE_INSTALL=no installs nothing.

have() { command -v "$1" >/dev/null 2>&1; }

install_packages() { # install_packages PACKAGE... : one line where it may not or cannot
    local as=()
    [ "${LOWTIDE_INSTALL:-yes}" != no ] || return 0
    if ! have apt-get; then
        echo "not Debian or Ubuntu: please install $* by hand" >&2
        return 0
    fi
    if [ "$(id -u)" != 0 ]; then
        if ! have sudo || ! sudo -n true 2>/dev/null; then
            echo "neither root nor sudo without a password: please install $* by hand" >&2
            return 0
        fi
        as=(sudo)
    fi
    { "${as[@]}" apt-get -qq update && "${as[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install -y --no-install-recommends "$@"; } >/dev/null 2>&1 ||
        echo "apt-get could not install $*" >&2
}

need_toolchain() { # cargo must be there; a C compiler and linker is installed
    if ! have cargo; then
        echo "$0: no cargo: install a Rust toolchain (https://rustup.rs), then run this again" >&2
        exit 1
    fi
    have cc || install_packages gcc libc6-dev
}
