#!/usr/bin/env bash
# Installs what the tests need and passes them all: formatting, lints, tests, documentation, recordings.
#
# What it installs: with root or sudo on Debian or Ubuntu, `tshark` and its companions, by which the expected files of
# testdata/ are checked. Cargo fetches the crates. Everything else is skipped when it is not there, and said at the end.
# LOWTIDE_INSTALL=no installs nothing.
set -uo pipefail
cd "$(dirname "$0")" || exit
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}

skipped=()
failed=()

step() { # step WHAT COMMAND... : goes on after a failure, so that one run shows them all
    local what=$1 begin=$SECONDS
    shift
    printf '\n== %s\n' "$what"
    if "$@"; then
        printf '== %s: passed, %d s\n' "$what" $((SECONDS - begin))
    else
        printf '== %s: FAILED\n' "$what"
        failed+=("$what")
    fi
}

have() { command -v "$1" >/dev/null 2>&1; }

install_packages() {
    local as=()
    if ! have apt-get; then
        echo "not Debian or Ubuntu: system packages are not installed"
        return
    fi
    if [ "$(id -u)" != 0 ]; then
        if ! have sudo || ! sudo -n true 2>/dev/null; then
            echo "neither root nor sudo without a password: may not install $*"
            return
        fi
        as=(sudo)
    fi
    { "${as[@]}" apt-get -qq update && "${as[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install -y --no-install-recommends "$@"; } >/dev/null 2>&1 || echo "apt-get could not install $*"
}

if ! have cargo; then
    echo "test.sh: no cargo: install a Rust toolchain (https://rustup.rs), then run this again" >&2
    exit 1
fi
if [ "${LOWTIDE_INSTALL:-yes}" != no ]; then
    have cc || install_packages gcc libc6-dev
    missing=()
    have tshark && have capinfos || missing+=(tshark wireshark-common)
    have dnstap-read || missing+=(bind9-dnsutils)
    have lz4 || missing+=(lz4)
    have zstd || missing+=(zstd)
    have python3 || missing+=(python3)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
fi

if cargo fmt --version >/dev/null 2>&1; then
    step "formatting" cargo fmt --all --check
else
    skipped+=("formatting: rustup component add rustfmt")
fi
if cargo clippy --version >/dev/null 2>&1; then
    step "lints" cargo clippy --locked --workspace --all-targets -- -D warnings
else
    skipped+=("lints: rustup component add clippy")
fi
if cargo nextest --version >/dev/null 2>&1; then
    step "tests" cargo nextest run --locked --workspace --no-fail-fast
    step "documentation tests" cargo test --locked --workspace --doc --quiet
else
    step "tests" cargo test --locked --workspace --no-fail-fast
fi
RUSTDOCFLAGS="-D warnings" step "documentation" cargo doc --locked --workspace --no-deps --quiet
if have tshark && have capinfos && have dnstap-read && have python3 && have lz4 && have zstd; then
    step "expected files against tshark and dnstap-read" python3 testdata/expect.py --check
else
    skipped+=("expected files against other tools: apt-get install tshark bind9-dnsutils lz4 zstd python3")
fi
if cargo deny --version >/dev/null 2>&1; then
    step "licences and advisories" cargo deny --locked check
else
    skipped+=("licences and advisories: cargo install cargo-deny")
fi

echo
for what in "${skipped[@]}"; do echo "skipped: $what"; done
if [ ${#failed[@]} -gt 0 ]; then
    for what in "${failed[@]}"; do echo "FAILED: $what"; done
    exit 1
fi
echo "all passed in $SECONDS s, ${#skipped[@]} skipped"
