#!/bin/bash
# sanitize.sh SANITIZER…: the tests, and the programs that they run, under `thread` or `address`, one after another.
# With $FILTER some of them, with $UNIT_TESTS those that run no program; with $BUILD_ONLY it only builds. Prints one line each:
# tsan_reports=0, asan_reports=0.
# A report of any process fails the run: each writes its own to a file of the scratch path, and at the end there must be none.
set -euo pipefail
cd "$(dirname "$0")/.."

# Nothing of our own code is suppressed; of a library's what leak-suppressions.txt has, with its reason.
export LSAN_OPTIONS=suppressions=$PWD/scripts/leak-suppressions.txt:print_suppressions=0
declare -A short=([thread]=tsan [address]=asan) variable=([thread]=TSAN_OPTIONS [address]=ASAN_OPTIONS)
declare -A options=(
    # Faults of memory are reported though the daemon resets its signals (ProcessMemory.swift).
    [thread]=history_size=4:handle_segv=2
    [address]=detect_leaks=1:handle_segv=2:handle_sigbus=2:handle_sigfpe=2
)

# Package.swift leaves the end-to-end tests out.
[ -z "${UNIT_TESTS:-}" ] || export EICED_UNIT_TESTS=1

failed=0
for sanitizer in "$@"; do
    name=${short[$sanitizer]:?}
    # A scratch path of its own, since these flags would otherwise rebuild everything else.
    scratch=$PWD/.build-$sanitizer reports=$PWD/.build-$sanitizer/reports
    began=$SECONDS
    # Reports need lines, not variables; without those the build is faster.
    swift build --explicit-target-dependency-import-check error --build-tests --sanitize="$sanitizer" --scratch-path "$scratch" \
        -Xswiftc -gline-tables-only
    # A program without the sanitizer would have nothing to report.
    for program in eiced eicectl eicectl-commands eice-emulator wsecho eicedPackageTests.xctest; do
        grep -qa "__${name}_init" "$scratch/debug/$program" || {
            echo "sanitize: error: $program was built without the $sanitizer sanitizer" >&2
            exit 1
        }
    done
    built=$SECONDS
    [ -z "${BUILD_ONLY:-}" ] || continue
    python=$(scripts/test-python.sh "$PWD/.build/test-python")

    rm -rf "$reports"
    mkdir -p "$reports"
    code=0
    env "${variable[$sanitizer]}=${options[$sanitizer]}:log_path=$reports/report:log_exe_name=1" \
        EICED_TEST_PYTHON="$python" \
        swift test --skip-build --disable-xctest --sanitize="$sanitizer" --scratch-path "$scratch" \
        ${FILTER:+--filter "$FILTER"} 2>&1 | tee "$scratch/test.log" || code=$?
    scripts/test-summary.sh "$scratch/test.log" || code=1

    count=$(find "$reports" -type f -exec cat {} + | grep -cE '(WARNING|ERROR): (Thread|Address|Leak)Sanitizer') || true
    if [ "$count" -ne 0 ]; then
        find "$reports" -type f -exec cat {} + | head -200 >&2 || true
        echo "sanitize: error: reports of the $sanitizer sanitizer are in $reports" >&2
        code=1
    fi
    [ "$code" -eq 0 ] || failed=1
    echo "${name}_build_seconds=$((built - began))"
    echo "${name}_test_seconds=$((SECONDS - built))"
    echo "${name}_reports=$count"
done
exit $failed
