#!/bin/bash
# Runs the fuzz targets (Tests/Fuzz) under the address sanitizer, each for so many seconds, as many at a time as there are cores.
# usage: scripts/fuzz.sh SECONDS [TARGET…]
# Prints one line a target: fuzz_NAME=executions. A finding ends the run with its file and how to see it again.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: scripts/fuzz.sh SECONDS [TARGET…]}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(frames upgrade control ec2 profiles toml state credentials connect)

# A scratch path of its own, since these flags would otherwise rebuild everything else. `Package.swift` has the target only
# with this variable: without libFuzzer it does not link.
scratch=.build-fuzz
EICED_FUZZ=1 swift build -c release --scratch-path "$scratch" --product fuzz-targets \
    -Xswiftc -sanitize=fuzzer,address -Xswiftc -enable-testing -Xswiftc -use-ld=lld -Xcc -fsanitize=address,fuzzer-no-link \
    -Xcxx -fsanitize=address,fuzzer-no-link
program=$scratch/release/fuzz-targets

findings=$scratch/findings
mkdir -p "$findings"
fuzz() {
    local target=$1 corpus=$scratch/corpus/$1 log=$scratch/$1.log executions
    # What a run finds out stays in the scratch path; what is worth keeping is moved to Tests/Fuzz/Corpus by hand.
    mkdir -p "$corpus"
    # Leaks are not looked for: at exit Swift's runtime still holds what it made once. The timeout is by the clock on the wall, and a
    # machine that does other things holds a program up for seconds; what hangs does not end in a minute either.
    if ! EICED_FUZZ_TARGET=$target ASAN_OPTIONS=detect_leaks=0 "$program" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=4096 \
        -max_len=8192 -print_final_stats=1 -artifact_prefix="$findings/$target-" "$corpus" "Tests/Fuzz/Corpus/$target" \
        >"$log" 2>&1; then
        tail -40 "$log" >&2
        echo "fuzz: error: a finding in $target" >&2
        echo "fuzz: hint: EICED_FUZZ_TARGET=$target $program $findings/$target-…" >&2
        return 255  # xargs begins no other one
    fi
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    # A program that was built without libFuzzer would end at once and find nothing.
    [ -n "$executions" ] || { echo "fuzz: error: $target was not run: see $log" >&2; return 255; }
    echo "fuzz_$target=$executions"
}
export -f fuzz
export seconds program scratch findings
# As many at a time as there are cores: each uses one.
# shellcheck disable=SC2016  # the inner shell expands it
printf '%s\0' "${targets[@]}" | xargs -0 -P "$(nproc)" -I{} bash -euo pipefail -c 'fuzz "$1"' _ {}
