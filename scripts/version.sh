#!/bin/bash
# version.sh: the release, from the one place where it stands.
set -euo pipefail
cd "$(dirname "$0")/.."
sed -n 's/^ *public static let current = "\([^"]*\)"$/\1/p' Sources/ControlProtocol/EICEDVersion.swift | grep .
