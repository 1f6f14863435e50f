#!/usr/bin/env bash
# Runs the fuzz targets one after the other: run.sh [SECONDS [TARGET...]]; 60 seconds each, all of them.
#
# Needs nightly and cargo-fuzz (cargo install cargo-fuzz). New inputs and crashes stay in the target directory, not in the
# corpus that is committed.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
shift || true
[ $# -gt 0 ] || set -- capture_file frames tcp dns dnstap frame_streams replay
work=${CARGO_TARGET_DIR:-$PWD/../target}/fuzz
# The counters of coverage do not survive link-time optimization; and it would take minutes for each target.
export CARGO_PROFILE_RELEASE_LTO=off

for target in "$@"; do
    mkdir -p "$work/$target/corpus" "$work/$target/crashes"
    cargo +nightly fuzz run --features libfuzzer --target-dir "$work/build" "$target" \
        "$work/$target/corpus" "corpus/$target" -- -max_total_time="$seconds" -max_len=8192 -timeout=20 \
        -rss_limit_mb=1536 -artifact_prefix="$work/$target/crashes/" -print_final_stats=1
done
