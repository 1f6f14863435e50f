#!/usr/bin/env bash
# Puts libchdb.so where `lowtide clickhouse` looks for it: ${XDG_DATA_HOME:-$HOME/.local/share}/lowtide/libchdb.so.
#
# It is ClickHouse as a C library (566 MB; the download is 178 MB), out of the npm package @chdb/lib-linux-x64-gnu, from
# npm's own registry or the one that npm is configured for. What comes is checked against the SHA-512 below.
# LOWTIDE_LIBCHDB: the file to put it to, instead. LOWTIDE_INSTALL=no fetches and installs nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
. scripts/packages.sh

package=@chdb/lib-linux-x64-gnu
version=26.7.3-stable.1
sha512=5cff7b98caa7739b59a4a432c11f0dedc2d3b073624e61ebdf4a42e66ce8de35a6ba48ca9f62016bad1cd81fe059435cb858ce3235a8a2b408082a81563e70a7
library=${LOWTIDE_LIBCHDB:-${XDG_DATA_HOME:-$HOME/.local/share}/lowtide/libchdb.so}

fail() {
    echo "libchdb.sh: $*" >&2
    exit 1
}

fetch() { # fetch DIRECTORY : the package as DIRECTORY/*.tgz
    local registry=https://registry.npmjs.org
    if have npm; then
        npm pack --silent --pack-destination "$1" "$package@$version" >/dev/null && return
        echo "libchdb.sh: npm could not fetch $package; trying without it" >&2
    fi
    have curl || have python3 || install_packages curl ca-certificates
    local url=$registry/$package/-/${package##*/}-$version.tgz
    if have curl; then
        curl --fail --silent --show-error --location --retry 3 --output "$1/package.tgz" "$url"
    elif have python3; then
        python3 -c 'import sys, urllib.request; urllib.request.urlretrieve(sys.argv[1], sys.argv[2])' "$url" "$1/package.tgz"
    else
        fail "no npm, curl or python3 to fetch $url with"
    fi
}

if [ -s "$library" ]; then
    echo "libchdb: $library is there"
    exit
fi
[ "$(uname -s) $(uname -m)" = "Linux x86_64" ] ||
    fail "there is no package of libchdb $version for $(uname -s) on $(uname -m); name a libchdb.so by LOWTIDE_LIBCHDB"
[ "${LOWTIDE_INSTALL:-yes}" != no ] || fail "$library is not there, and LOWTIDE_INSTALL=no"

directory=$(dirname "$library")
mkdir -p "$directory"
work=$(mktemp -d "$directory/.libchdb.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "libchdb: fetching $package $version (178 MB)" >&2
fetch "$work" || fail "could not fetch $package $version"
archive=$(echo "$work"/*.tgz)
[ -f "$archive" ] || fail "could not fetch $package $version"
echo "$sha512  $archive" | sha512sum --check --status || fail "what came as $package $version is not what it should be (SHA-512)"
tar -xzf "$archive" -C "$work" package/libchdb.so || fail "could not unpack libchdb.so"
chmod 755 "$work/package/libchdb.so"
mv -f "$work/package/libchdb.so" "$library"
echo "libchdb: $library, of $package $version"
