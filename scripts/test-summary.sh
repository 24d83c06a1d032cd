#!/bin/bash
# test-summary.sh LOG: the last line of a test run in one sentence. Fails when no test ran, since a filter or a build
# mistake that leaves none would otherwise look like success.
set -euo pipefail

line=$(grep -aoE 'Test run with [0-9]+ tests?.*' "$1" | tail -1) || line=
if [ -z "$line" ]; then
    echo "summary: error: no test run was recorded in $1" >&2
    exit 1
fi
count=$(grep -oE '[0-9]+' <<<"$line" | head -1)
skipped=$(grep -acE '(Test|Suite) .* skipped' "$1") || true
if [ "$count" -eq 0 ]; then
    echo "summary: error: no test ran" >&2
    exit 1
fi
grep -ahE '(Test|Suite) .* skipped' "$1" | sed 's/^[^A-Za-z]*/summary: /' | sort -u || true
echo "summary: ${line%.}; ${skipped} skipped"
