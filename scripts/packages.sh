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

need_libpcap() { # the crate pcap is linked with it
    [ -e /usr/include/pcap/pcap.h ] || install_packages libpcap-dev
}

# The DNS servers of the tests, and what drives them.
servers=(bind9 bind9-utils knot knot-dnsutils knot-module-dnstap nsd unbound dnsdist pdns-recursor dnsperf fstrm-bin openssl)

need_servers() { # fails when they are not there and cannot be installed
    local PATH=$PATH:/usr/sbin:/sbin
    have_servers || install_services "${servers[@]}"
    have_servers
}

have_servers() {
    local program
    for program in named rndc knotd knotc kdig nsd nsd-control unbound unbound-control dnsdist pdns_recursor rec_control \
        dnsperf fstrm_capture openssl setpriv; do
        have "$program" || return 1
    done
    compgen -G '/usr/lib/*/knot/modules-*/dnstap.so' >/dev/null
}

install_services() { # install_services PACKAGE... : without starting what they would start, which wants port 53
    local as=() policy=/usr/sbin/policy-rc.d own=no
    [ "$(id -u)" = 0 ] || as=(sudo -n)
    if [ "${LOWTIDE_INSTALL:-yes}" != no ] && [ ! -e "$policy" ] &&
        printf '#!/bin/sh\nexit 101\n' | "${as[@]}" tee "$policy" >/dev/null 2>&1; then
        own=yes
        "${as[@]}" chmod 755 "$policy"
    fi
    install_packages "$@"
    [ $own = no ] || "${as[@]}" rm -f "$policy"
}
