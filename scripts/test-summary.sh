#!/bin/bash
# test-summary.sh LOG: what failed in a test run, each with what was expected, what it skipped, and its last line in one sentence:
# a failure would otherwise have to be looked for among thousands of lines. Fails when no test ran, since a filter or a build mistake
# that leaves none would otherwise look like success.
set -euo pipefail

# The line of each issue, and those below it that say more of it.
awk '/ recorded an issue /    { shown = 1; sub(/^[^A-Za-z]*/, ""); print "summary: " $0; next }
     shown && /^[^A-Za-z0-9]*↳/ { print "summary:   " $0; next }
                              { shown = 0 }' "$1"

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
