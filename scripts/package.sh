#!/bin/bash
# package.sh EICED EICECTL EMULATOR FOLDER: builds FOLDER/eiced_VERSION_ARCHITECTURE.deb and prints its path. Needs dpkg-dev.
#
# The package has no maintainer scripts: no user's daemon is restarted (`eicectl status` says when another version is installed
# than runs), nothing is enabled for anybody, and systemd itself takes up the texts for journal entries.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -eq 4 ] || { echo "usage: package.sh EICED EICECTL EMULATOR FOLDER" >&2; exit 64; }
eiced=$1 eicectl=$2 emulator=$3 folder=$4
version=$(scripts/version.sh)
architecture=$(dpkg --print-architecture)
# Of the last change, so that the same sources give the same package.
date=$(git log -1 --format=%cI 2>/dev/null || date -Is)
SOURCE_DATE_EPOCH=$(date -d "$date" +%s)
export SOURCE_DATE_EPOCH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 0755 "$work"
root=$work/root
scripts/install.sh "$eiced" "$eicectl" "$emulator" /usr "$root"

documents=$root/usr/share/doc/eiced
rm "$documents/LICENSE"
install -m 0644 packaging/debian/copyright "$documents/copyright"
install -D -m 0644 packaging/debian/lintian-overrides "$root/usr/share/lintian/overrides/eiced"
# The changelog in Debian's form: a heading `## VERSION` and a list, a line each.
maintainer=$(sed -n 's/^Maintainer: //p' packaging/debian/control.in)
awk -v maintainer="$maintainer" -v date="$(date -R -d "$date")" '
    function finish() { if (version) printf "\n -- %s  %s\n", maintainer, date }
    function wrapped(text,    words, count, i, line) {
        count = split(text, words, " ")
        line = "  *"
        for (i = 1; i <= count; i++) {
            if (length(line) + length(words[i]) > 76) { print line; line = "   " }
            line = line " " words[i]
        }
        print line
    }
    # What no release has yet has no version.
    /^## Unreleased/ { next }
    /^## / { finish(); version = $2; printf "%seiced (%s) unstable; urgency=medium\n\n", (n++ ? "\n" : ""), version; next }
    version && /^- / { wrapped(substr($0, 3)) }
    END { finish() }
' docs/changelog.md > "$documents/changelog"
grep -q "^eiced ($version) " "$documents/changelog" || {
    echo "package: error: docs/changelog.md says nothing of $version" >&2
    exit 1
}
gzip -9n "$documents/changelog"

# Which packages the programs' libraries are in; eicectl and eicectl-commands are static.
mkdir -p "$work/debian"
printf 'Source: eiced\n\nPackage: eiced\nArchitecture: any\n' > "$work/debian/control"
libraries=$(cd "$work" && dpkg-shlibdeps -O root/usr/bin/eiced root/usr/bin/eice-emulator)
libraries=${libraries#shlibs:Depends=}
# dpkg-shlibdeps looks at symbols alone; a packed table of relocations needs glibc 2.36 (GLIBC_ABI_DT_RELR).
libraries=$(sed -E 's/libc6 \(>= 2\.([0-9]|[12][0-9]|3[0-5])\)/libc6 (>= 2.36)/' <<<"$libraries")
grep -qE 'libc6 \(>= 2\.(3[6-9]|[4-9][0-9])' <<<"$libraries" || {
    echo "package: error: the package asks for no glibc of 2.36: $libraries" >&2
    exit 1
}
# It looks at what is linked alone; libcurl is loaded when AWS is first called. CURLOPT_QUICK_EXIT is of 7.87.
libraries="$libraries, libcurl4 (>= 7.87)"

mkdir "$root/DEBIAN"
size=$(du -k -s --apparent-size --exclude=DEBIAN "$root" | cut -f1)
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@LIBRARIES@/$libraries/" -e "s/@SIZE@/$size/" \
    packaging/debian/control.in > "$root/DEBIAN/control"
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) > "$root/DEBIAN/md5sums"
chmod 0644 "$root/DEBIAN/md5sums" "$root/DEBIAN/control"
find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

mkdir -p "$folder"
package=$folder/eiced_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$package" >&2
echo "$package"
