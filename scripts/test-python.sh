#!/bin/bash
# test-python.sh FOLDER: prints a Python that has what Tests/requirements.txt names: the machine's where that will do, else one of a
# virtual environment in FOLDER, made at the first call. Without PyPI it prints the machine's and says so: the tests that need
# more are then skipped, by name.
set -euo pipefail
folder=$1
requirements=$(dirname "$0")/../Tests/requirements.txt
log=$folder.log

# HOME is where some machines' Python has its packages.
fits() { "$1" -c 'import boto3, botocore.session, moto.server, prometheus_client, pylibsshext.session' >"$log" 2>&1; }

mkdir -p "$(dirname "$folder")"
for python in "$folder/bin/python3" "$(command -v python3 || true)"; do
    if [ -x "$python" ] && fits "$python"; then
        echo "$python"
        exit 0
    fi
done

make_environment() {
    rm -rf "$folder"
    python3 -m venv "$folder"
    timeout 300 "$folder/bin/python3" -m pip install --quiet --disable-pip-version-check --no-input \
        --retries 1 --timeout 15 -r "$requirements"
}

if make_environment >"$log" 2>&1 && fits "$folder/bin/python3"; then
    echo "$folder/bin/python3"
else
    echo "tests: moto, botocore and prometheus-client cannot be had, what needs them is skipped: $(tail -n 1 "$log")" >&2
    # A half-made one would be taken for whole.
    rm -rf "$folder"
    echo python3
fi
