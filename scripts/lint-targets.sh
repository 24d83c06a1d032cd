#!/bin/bash
# Checks the targets of Package.swift, which SwiftPM compares with their imports only by what is reachable:
# - a target imports exactly the modules that it declares;
# - no arrow that docs/architecture.md forbids;
# - no folder of more than 14 Swift files.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

# `A B`: A must not depend on B, not even through another target. Patterns of the shell.
forbidden=(
    "Sources/* Tests/*"
    "Sources/* Benchmarks/*"
    "Sources/Tunnels Sources/AWS"
    "Sources/Tunnels Sources/OpenSSL"
    "Sources/Tunnels Sources/WebSocket"
    "Sources/Tunnels Sources/InstanceConnect"
    "Sources/Transport Sources/OpenSSL"
    "Sources/Transport Sources/AWS"
    "Sources/InstanceConnect Sources/Tunnels"
    "Sources/SocketIO Sources/OpenSSL"
    "Sources/WebSocket Sources/SocketIO"
    "Sources/SecureSocket Sources/AWS"
    "Sources/SecureSocket Sources/InstanceConnect"
    "Sources/SecureSocket Sources/Tunnels"
    "Sources/EICEEmulator Sources/AWS"
    "Sources/EICEEmulator Sources/InstanceConnect"
    "Sources/EicectlProxy Sources/ControlCodec"
    "Sources/EicectlCommands Sources/OpenSSL"
)
largest_folder=14

failed=0
complain() {
    echo "lint: error: $*" >&2
    failed=1
}

# All targets, the optional ones too.
targets=$(EICED_BENCHMARKS=1 EICED_FUZZ=1 swift package --ignore-lock describe --type json)
import='^[[:space:]]*(@[a-zA-Z_]+[[:space:]]+)*((public|package|internal|private|fileprivate)[[:space:]]+)?import[[:space:]]+'
modules=$(jq -r '[.targets[] | .name, .product_dependencies[]?] | unique[]' <<<"$targets")

declare -A path_of dependencies
while IFS=$'\t' read -r name type path declared; do
    path_of[$name]=$path
    dependencies[$name]=$declared
    [ "$type" = SwiftTarget ] || continue
    imported=$(find "$path" -name '*.swift' -exec sed -nE \
        "s/$import((struct|class|enum|protocol|func|var|let|typealias)[[:space:]]+)?([A-Za-z]+)\\b.*/\\6/p" {} + |
        sort -u | comm -12 - <(sort <<<"$modules"))
    unused=$(comm -13 <(echo "$imported") <(tr ' ' '\n' <<<"$declared" | sort) | xargs)
    undeclared=$(comm -23 <(echo "$imported") <(tr ' ' '\n' <<<"$declared" | sort) | xargs)
    [ -z "$unused" ] || complain "$name declares dependencies that it does not import: $unused"
    [ -z "$undeclared" ] || complain "$name imports modules that it does not declare: $undeclared"
done < <(jq -r '.targets[] | [.name, .module_type, .path,
    ([.target_dependencies[]?, .product_dependencies[]?] | join(" "))] | @tsv' <<<"$targets")

# All targets that one depends on, itself included.
reach() {
    local -A seen=()
    local queue=("$1") name next
    while [ ${#queue[@]} -gt 0 ]; do
        name=${queue[0]}
        queue=("${queue[@]:1}")
        [ -z "${seen[$name]:-}" ] || continue
        seen[$name]=1
        for next in ${dependencies[$name]:-}; do queue+=("$next"); done
    done
    echo "${!seen[@]}"
}
for name in "${!path_of[@]}"; do
    for arrow in "${forbidden[@]}"; do
        # shellcheck disable=SC2053 # Patterns on purpose.
        [[ ${path_of[$name]} == ${arrow% *} ]] || continue
        for other in $(reach "$name"); do
            # shellcheck disable=SC2053
            [[ ${path_of[$other]:-} != ${arrow#* } ]] || complain "$name must not depend on $other"
        done
    done
done

while read -r count folder; do
    [ "$count" -le $largest_folder ] || complain "$folder has $count Swift files, more than $largest_folder"
done < <(find Sources Benchmarks Tests -name '*.swift' -printf '%h\n' | sort | uniq -c)

exit $failed
