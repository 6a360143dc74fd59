#!/bin/sh
# Lets two versions of Walnut take turns in the same workloads: compare.sh OLD FLAGS…
# OLD is a git revision, or a directory with a checkout. This program is built twice from this directory, with the Walnut of
# this repository and with the old one, so that nothing but Walnut differs. The flags are the program's; the page goes to
# standard output unless -page says otherwise. Where the calls that walnut.go makes have changed since, ADAPTER names a
# walnut.go for the old one, as an absolute path: git show REVISION:bench/walnut.go >/tmp/walnut.go
set -eu
old=${1:?a git revision, or a directory with a checkout}
shift
if [ -d "$old" ]; then
	old=$(cd "$old" && pwd)
fi
cd "$(dirname "$0")"
root=$(cd .. && pwd)
dist=$root/dist/bench/compare
rm -rf "$dist"
mkdir -p "$dist/old"
if [ ! -d "$old" ]; then
	git -C "$root" archive "$old" | tar -x -C "$dist/old"
	old=$dist/old
fi
cp go.mod "$dist/old.mod"
cp go.sum "$dist/old.sum"
go mod edit -replace "github.com/walnutkv/walnut=$old" "$dist/old.mod"
printf '{"Replace": {"%s": "%s"}}' "$root/bench/walnut.go" "${ADAPTER:-$root/bench/walnut.go}" >"$dist/overlay.json"
go build -tags fewpeers -o "$dist/walnut-bench" .
go build -tags fewpeers -mod=mod -modfile="$dist/old.mod" -overlay="$dist/overlay.json" -o "$dist/walnut-bench-old" .
exec "$dist/walnut-bench" -against "$dist/walnut-bench-old" -peers walnut -dir "$dist" "$@"
