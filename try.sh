#!/usr/bin/env bash
# Builds lowtide and replays a recording of testdata/, or the capture files that are named.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=scripts/packages.sh
. scripts/packages.sh

need_toolchain
echo "building lowtide; the first time takes a minute or two" >&2
cargo build --release --locked --quiet -p lowtide
[ $# -gt 0 ] || set -- testdata/migration.pcapng.zst
exec "${CARGO_TARGET_DIR:-target}/release/lowtide" replay "$@"
