#!/bin/bash
# Runs the Autobahn test suite's fuzzing server against wsecho: groups 1 to 7, 9 and 10, over ws and wss.
# usage: scripts/autobahn.sh WSECHO WSTEST
# WSTEST is the suite's program (pip install autobahntestsuite), which needs Python 2.7 or PyPy 2.7.
# Prints one line a transport: autobahn_ws=cases that were not OK, and leaves the reports in .build/autobahn. Fails when there are any, or
# when the suite broke off.
set -euo pipefail
cd "$(dirname "$0")/.."

wsecho=${1:?usage: scripts/autobahn.sh WSECHO WSTEST}
wstest=${2:-$(command -v wstest || true)}
if [ -z "$wstest" ] || [ ! -x "$wstest" ]; then
    echo "autobahn: error: there is no wstest" >&2
    echo "autobahn: hint: where a Python 2.7 or PyPy 2.7 can be had, install autobahntestsuite there and pass AUTOBAHN=…/bin/wstest" >&2
    exit 1
fi

folder=.build/autobahn
rm -rf "$folder"
mkdir -p "$folder"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -keyout "$folder/server.key" -out "$folder/server.crt" 2>/dev/null

server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true' EXIT

# usage: run SCHEME PORT
run() {
    local scheme=$1 url=$1://localhost:$2 count report
    report=$folder/$scheme
    jq -n --arg url "$url" --arg report "$report" --arg key "$folder/server.key" --arg crt "$folder/server.crt" \
        '{url: $url, outdir: $report, key: $key, cert: $crt, "exclude-agent-cases": {},
          cases: ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"], "exclude-cases": []}' >"$folder/$scheme.json"
    "$wstest" -m fuzzingserver -s "$folder/$scheme.json" -k "$folder/server.key" -c "$folder/server.crt" \
        >"$folder/$scheme.log" 2>&1 &
    server=$!
    for _ in $(seq 100); do
        # A call that only counts the cases; its message is the number, which wsecho echoes.
        if "$wsecho" "$url/getCaseCount" "$folder/server.crt" 2>/dev/null; then break; fi
        kill -0 "$server"
        sleep 0.2
    done
    # All numbers up to one that the suite does not have: it then closes at once, and nothing is reported.
    for count in $(seq 600); do
        "$wsecho" "$url/runCase?case=$count&agent=wsecho" "$folder/server.crt" 2>/dev/null || true
    done
    "$wsecho" "$url/updateReports?agent=wsecho" "$folder/server.crt" || true
    kill "$server"
    wait "$server" 2>/dev/null || true
    server=
    local bad
    bad=$(jq '.wsecho | [.[] | .behavior, .behaviorClose] | map(select(IN("OK", "INFORMATIONAL", "NON-STRICT") | not)) | length' \
        "$report/index.json")
    echo "autobahn_$scheme=$bad"
    count=$(jq '.wsecho | length' "$report/index.json")
    # The groups have about three hundred.
    [ "$count" -ge 250 ] || { echo "autobahn: error: only $count cases were reported over $scheme" >&2; exit 1; }
    failed=$((failed + bad))
}

failed=0

run ws 9001
run wss 9002
[ "$failed" -eq 0 ] || { echo "autobahn: error: $failed cases failed; see $folder" >&2; exit 1; }
