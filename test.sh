#!/usr/bin/env bash
# Installs what the tests need and passes them all: formatting, lints, tests, documentation, recordings.
#
# What it installs: with root or sudo on Debian or Ubuntu, libpcap's headers; `tshark` and its companions, by which the expected
# files of testdata/ are checked; MaxMind's reader for Python; six DNS servers and dnsperf, whose dnstap is received. libchdb, which is ClickHouse as a library
# (178 MB to fetch, 566 MB on disk), goes into ~/.local/share/lowtide. Cargo fetches the crates. Everything else is skipped when it is not there, and said at the end. LOWTIDE_INSTALL=no installs nothing.
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

shared_load() {
    LOWTIDE_LOAD=$(realpath ../shared/load/dns-1m.pcap.zst) cargo nextest run --locked -p lowtide --test rows --run-ignored only
}

shared_captures() {
    cargo build --locked --quiet -p lowtide && testdata/shared.py "${CARGO_TARGET_DIR:-target}/debug/lowtide" ../shared
}

shared_drain() {
    cargo build --locked --quiet -p lowtide && testdata/drain.py "${CARGO_TARGET_DIR:-target}/debug/lowtide" ../shared
}

have_maxminddb() {
    python3 -c 'import maxminddb' 2>/dev/null
}

# shellcheck source=scripts/packages.sh
. scripts/packages.sh

need_toolchain
need_libpcap
missing=()
have tshark && have capinfos || missing+=(tshark wireshark-common)
have dnstap-read || missing+=(bind9-dnsutils)
have fstrm_replay || missing+=(fstrm-bin)
have lz4 || missing+=(lz4)
have zstd || missing+=(zstd)
have python3 || missing+=(python3)
have_maxminddb || missing+=(python3-maxminddb)
have ip || missing+=(iproute2)
have tcpdump || missing+=(tcpdump)
[ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
# Where python3 is not the distribution's own, its packages are not either.
have_maxminddb || [ "${LOWTIDE_INSTALL:-yes}" = no ] || python3 -m pip install --quiet maxminddb >/dev/null 2>&1
need_servers || {
    export LOWTIDE_TEST_SERVERS=skip
    skipped+=("all tests with DNS servers: apt-get install ${servers[*]}")
}

if ! scripts/libchdb.sh; then
    export LOWTIDE_TEST_CLICKHOUSE=skip
    skipped+=("all tests with ClickHouse: scripts/libchdb.sh (Linux on x86-64; npm, curl or python3)")
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
    step "who asked in the recorded migration, against tshark" python3 testdata/drain.py --check
else
    skipped+=("expected files against other tools: apt-get install tshark bind9-dnsutils lz4 zstd python3")
fi
if have_maxminddb; then
    step "databases of addresses against MaxMind's reader" python3 testdata/mmdb.py --check
else
    skipped+=("databases of addresses against MaxMind's reader: apt-get install python3-maxminddb, or pip install maxminddb")
fi
if [ -d ../shared/captures ] && have python3; then
    step "captures of other projects against tshark's counts" shared_captures
else
    skipped+=("captures of other projects: there is no ../shared/captures")
fi
if [ -f ../shared/load/dns-1m.pcap.zst ] && have tshark && have python3 && have zstd; then
    step "who asked in a load of a million messages, against tshark" shared_drain
else
    skipped+=("who asked in a load of a million messages: there is no ../shared/load, no tshark, zstd or python3")
fi
if [ -f ../shared/load/dns-1m.pcap.zst ] && [ "${LOWTIDE_TEST_CLICKHOUSE:-}" != skip ] && cargo nextest --version >/dev/null 2>&1; then
    step "a million messages in ClickHouse, with a server that is killed ten times" shared_load
else
    skipped+=("a million messages in ClickHouse: there is no ../shared/load, no ClickHouse or no cargo-nextest")
fi
if cargo +nightly --version >/dev/null 2>&1 && cargo +nightly fuzz --version >/dev/null 2>&1; then
    step "fuzzing, 10 s a target" fuzz/run.sh 10
else
    skipped+=("fuzzing beyond the corpus: rustup toolchain install nightly && cargo install cargo-fuzz")
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
