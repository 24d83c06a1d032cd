#!/bin/bash
# hardening.sh [--stripped] PROGRAM…: whether programs are linked as docs/security.md promises: position-independent, all symbols bound before
# the start and read-only then, no executable stack or writable code. Says what is not, and fails. `make build` runs it on what is
# installed, before it is stripped: of a static program that is, the names of its functions tell nothing. Needs binutils.
set -euo pipefail
export LC_ALL=C

failed=0 stripped=
[ "${1:-}" != --stripped ] || { stripped=1; shift; }
for program in "$@"; do
    complain() {
        echo "hardening: error: $program $*" >&2
        failed=1
    }
    header=$(readelf -hW "$program") segments=$(readelf -lW "$program") dynamic=$(readelf -dW "$program")
    symbols=$(nm "$program" 2>/dev/null; nm -D "$program" 2>/dev/null) || true
    grep -q 'Type: *DYN' <<<"$header" || complain "is not position-independent"
    grep -q ' GNU_RELRO ' <<<"$segments" || complain "leaves its relocations writable"
    grep -qE 'BIND_NOW|Flags:.* NOW' <<<"$dynamic" || complain "resolves symbols while it runs, so that their table stays writable"
    grep -qE ' GNU_STACK .* RW +[0-9a-fx]+$' <<<"$segments" || complain "may execute its stack"
    ! grep -qE ' LOAD .* RWE ' <<<"$segments" || complain "has memory that is both writable and executable"
    ! grep -q TEXTREL <<<"$dynamic" || complain "writes to its code when it starts"
    ! grep -qE '\((RPATH|RUNPATH)\)' <<<"$dynamic" || complain "looks for libraries where it stands"
    if grep -q ' INTERP ' <<<"$segments"; then
        grep -q ' __stack_chk_fail' <<<"$symbols" || complain "has no stack protector"
    fi
    case ${program##*/} in
    # The one with C++ in it, where a call shows that _FORTIFY_SOURCE was in effect.
    eiced) grep -qE ' __(v?snprintf|memcpy)_chk' <<<"$symbols" || complain "was built without _FORTIFY_SOURCE" ;;
    # They start no process, so that nothing to start one with may be in them. There is an exec(3) for the one to become the other,
    # and one of Swift's own backtracer, which is off unless $SWIFT_BACKTRACE asks for it.
    eicectl | eicectl-commands)
        [ -n "$symbols$stripped" ] || complain "has no names of functions to look at"
        found=$(grep -oE ' [TtWi] _*(fork|vfork|posix_spawnp?|system|popen|wordexp|clinux_spawn_helper|clinux_start_successor)$' \
            <<<"$symbols" || true)
        [ -z "$found" ] || complain "could start other programs:" "$found"
        ;;
    esac
done
exit $failed
