#!/bin/bash
# What can go wrong with a tunnel, tried: servers that must be refused, fuzzing, sanitizers, the fault matrix, what a machine can
# run out of, half-closes, and a soak. Each part prints its lines of the form name=number; all of them come again at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

# The suites that try out what networks, peers, disks, clocks and neighbours do, and the figures that their run must have: a test that was
# left out since this machine lacks something would have none.
suites='BadServer|FaultMatrix|HalfClose|Scarcity|Endurance|Disturbance|ResolverGone|EndpointFailure|ThroughProxy|ForwardsThatLast|LocalClient|Kill'
suites+='|ProtocolViolation|Liveness|TunnelEnd|Doorkeeper'
figures=(bad_servers_refused fault_matrix_cells half_closes_whole full_duplex_mebibytes_each_way descriptors_recovered_ms
    disk_full_audit_lines_lost read_only_state_audit_lines_lost memory_out_forwards_kept clock_jumps_forwards_kept
    resolver_gone_dial_ended_after_ms connections_churned clients_killed_at_once stopped_tunnel_kib
    worst_ping_beside_a_stopped_reader_us owner_check_served)
test_log=.build/test.log
logs=.build/trust
mkdir -p "$logs"
rm -f "$logs"/*.log

lines_of() { grep -ahE '^[a-z][a-z0-9_]*=-?[0-9]+$' "$@" || true; }

# Whether the last run of the tests passed and has every figure.
has_all_figures() {
    grep -qaE 'Test run with [0-9]+ tests.* passed' "$test_log" || return 1
    local figure
    for figure in "${figures[@]}"; do grep -qa "^$figure=" "$test_log" || return 1; done
}

part() {
    local name=$1
    shift
    echo "trust: $name"
    "$@" 2>&1 | tee "$logs/$name.log"
}

# A make of its own for each: what this one was called with is not theirs.
unset MAKEFLAGS MAKELEVEL MFLAGS
part suites make test FILTER="($suites)Tests"
has_all_figures || { echo "trust: error: $test_log lacks a figure of: ${figures[*]}" >&2; exit 1; }
lines_of "$test_log" | sort -u > "$logs/0-suites.log"
part fuzz make fuzz SECONDS=600
part sanitize make sanitize
# The figures of a run under a sanitizer mean nothing, but for the sanitizer's own.
grep -aE '^[at]san_[a-z]+=' "$logs/sanitize.log" > "$logs/1-sanitize.log"
rm "$logs/sanitize.log"
part soak make soak SECONDS=1800

echo "trust: all of it holds"
rm -f "$logs/suites.log"
lines_of "$logs"/*.log
