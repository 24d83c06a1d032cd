#!/bin/bash
# What the compiler and the formatter do not see: shell scripts, who imports what, what the programs link, the units.
# Run by `make lint` after a debug build.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
complain() {
    echo "lint: error: $*" >&2
    failed=1
}

# Shell scripts.
scripts=(scripts/*.sh .ci/run)
for script in "${scripts[@]}"; do
    bash -n "$script" || complain "$script does not parse"
    [ -x "$script" ] || complain "$script is not executable"
done
shellcheck "${scripts[@]}" || complain "shellcheck has objections"

# Full Foundation costs start-up time and size in every program; FoundationEssentials has what is needed.
import='^[[:space:]]*(@[a-zA-Z_]+[[:space:]]+)*((public|package|internal|private|fileprivate)[[:space:]]+)?import[[:space:]]+'
if grep -rnE "${import}(struct |class |enum |func )?(Foundation|FoundationNetworking|FoundationXML|FoundationInternationalization)([. ]|\$)" \
    Sources --include '*.swift'; then
    complain "Sources import no Foundation beyond FoundationEssentials"
fi

# A C library has one importer.
only_in() {
    local library=$1 module=$2 found
    # Tests/BadTLS is made of what the product must not be able to do.
    found=$(grep -rlE "${import}${library}\$" Sources Tests --include '*.swift' |
        grep -vE "^(Sources/${module}|Tests/${module}Tests|Tests/BadTLS)/" || true)
    [ -z "$found" ] || complain "$library may be imported by Sources/$module alone, not by" "$found"
}
only_in COpenSSL OpenSSL
only_in CSystemd ServiceManager
only_in CCurl AWS
only_in CExpat AWS

# CLinux and Glibc both have <sys/socket.h>: without both imports it depends on the order of a build which one is seen.
users=$(grep -rlE '\b(SOCK|MSG|SHUT)_[A-Z]+\b' Sources Tests --include '*.swift' | xargs grep -lE "${import}Glibc\$" |
    xargs grep -LE "${import}CLinux\$" || true)
[ -z "$users" ] || complain "constants of <sys/socket.h> need CLinux imported beside Glibc:" "$users"

# Paths are bytes: Descriptors has system calls that lose none of them, which the compiler prefers where it is imported.
users=$(grep -rlE '(^|[^.a-zA-Z])(open|stat|lstat|access|mkdir|rmdir|unlink|rename|opendir|fnmatch|readlink|realpath)\(("|[a-zA-Z]+[,)])' \
    Sources --include '*.swift' | grep -vE '^Sources/(Descriptors|SocketIO)/' |
    xargs grep -LE "${import}(Descriptors|SocketIO)\$" || true)
[ -z "$users" ] || complain "system calls with paths need Descriptors or SocketIO imported:" "$users"
if grep -rnE 'CommandLine\.arguments|getenv\([^)]*\)\.map|readlink\(.*&' Sources --include '*.swift' | grep -v '^Sources/Descriptors/'; then
    complain "arguments, variables and links come from ProcessStart and Descriptors, which lose no byte"
fi

# eicectl starts for each `ssh`: what it must not have comes in through a dependency, unnoticed.
for program in eicectl eicectl-commands; do
    linked=$(ldd ".build/debug/$program")
    unwanted=(libssl libcrypto libsystemd libcurl libexpat libFoundation.so libFoundationNetworking)
    [ "$program" != eicectl ] || unwanted+=(libFoundationEssentials)
    for library in "${unwanted[@]}"; do
        if grep -qF "$library" <<<"$linked"; then complain "$program links $library"; fi
    done
done
# The daemon loads libcurl when it first calls AWS (docs/decisions/0018-libcurl-when-it-is-needed.md).
linked=$(ldd .build/debug/eiced)
if grep -qF libcurl <<<"$linked"; then complain "eiced links libcurl"; fi

# No unfinished business.
if grep -rnE '\b(TODO|FIXME|XXX)\b' Sources Tests scripts/[!l]* Makefile --include '*.swift' --include '*.sh' --include Makefile; then
    complain "a TODO is an issue, not a comment"
fi

# The units, with the program that was built in place of the installed one, since systemd looks whether it is there.
units=$(mktemp -d)
trap 'rm -rf "$units"' EXIT
sed "s#=/usr/bin/#=$PWD/.build/debug/#" systemd/eiced.service > "$units/eiced.service"
cp systemd/eiced.socket "$units/"
if ! said=$(XDG_RUNTIME_DIR=$units systemd-analyze --user --man=no verify "$units/eiced.service" "$units/eiced.socket" 2>&1) ||
    [ -n "$said" ]; then
    complain "systemd-analyze verify:" "$said"
fi

[ $failed -eq 0 ] && echo "lint: clean"
exit $failed
