#!/usr/bin/env bash
# Builds lowtide, replays a recording of testdata/ (or the capture files that are named), and does so once more into a local
# ClickHouse, where it asks one question in SQL. The first time it fetches ClickHouse as a library (178 MB); --no-clickhouse
# leaves that out.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=scripts/packages.sh
. scripts/packages.sh

clickhouse=yes
if [ "${1:-}" = --no-clickhouse ]; then
    clickhouse=no
    shift
fi
need_toolchain
need_libpcap
echo "building lowtide; the first time takes a few minutes" >&2
cargo build --release --locked --quiet -p lowtide
lowtide=${CARGO_TARGET_DIR:-target}/release/lowtide
[ $# -gt 0 ] || set -- testdata/migration.pcapng.zst
"$lowtide" replay "$@"
[ "$clickhouse" = yes ] || exit 0

echo
echo "== the same in ClickHouse"
if ! scripts/libchdb.sh >&2; then
    echo "without ClickHouse there is nothing more to show" >&2
    exit 1
fi
have curl || install_packages curl
data=$(mktemp -d)
coproc SERVER { exec "$lowtide" clickhouse --path "$data" --http-port 0; }
server=$SERVER_PID
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; rm -rf "$data"' EXIT
read -r ready <&"${SERVER[0]}"
echo "$ready"
url=$(grep -o 'http://[0-9.:]*' <<<"$ready")
"$lowtide" replay --quiet --clickhouse "$url/lowtide" --sensor try "$@" >/dev/null
sql="
    SELECT qname, sum(queries) AS queries, sum(nxdomain) AS nxdomain,
           round(lowtideLatencyQuantile(sumMap(latency), 0.99) / 1000, 2) AS p99_ms
    FROM lowtide.traffic GROUP BY qname ORDER BY queries DESC LIMIT 5"
echo "$sql"
curl --silent --show-error --fail "$url" --data-binary "$sql FORMAT PrettyCompactMonoBlock"
echo
echo "to keep one: $lowtide clickhouse --path ~/lowtide-data     (docs/clickhouse.md has more questions)"
