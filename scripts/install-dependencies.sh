#!/bin/bash
# install-dependencies.sh build|test|bench: installs the Debian packages that building, testing (and the demo) or measuring needs
# beside a Swift toolchain, and only those that are missing. Where none is missing it needs no network and no root.
set -euo pipefail

for_build=(libssl-dev libsystemd-dev libcurl4-openssl-dev libexpat1-dev libtomlplusplus-dev libstdc++-12-dev)
for_test=(
    # Tests and the demo run a private sshd, certificates, the unit check, and the tools that a script would speak the
    # control protocol with.
    openssh-server openssh-client openssl systemd jq netcat-openbsd tinyproxy-bin stunnel4 faketime iproute2
    # AWS's own library and a server with EC2 and STS are installed from PyPI (scripts/test-python.sh).
    python3 python3-venv
    # The box that boots a system (scripts/systemd-box.sh).
    dbus-user-session libpam-systemd util-linux passwd
    # The shells whose completions are tried, and what checks man pages and the package.
    zsh fish mandoc man-db dpkg-dev xz-utils lintian debootstrap
    # Lint runs it.
    shellcheck
)
# What eiced is measured beside, and what counts its instructions.
for_bench=(socat valgrind)

case "${1:-}" in
    build) packages=("${for_build[@]}") ;;
    test) packages=("${for_build[@]}" "${for_test[@]}") ;;
    bench) packages=("${for_build[@]}" "${for_test[@]}" "${for_bench[@]}") ;;
    *) echo "usage: install-dependencies.sh build|test|bench" >&2; exit 64 ;;
esac

missing=()
for package in "${packages[@]}"; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=
    [ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "deps: error: these packages are missing: ${missing[*]}" >&2
    echo "deps: hint: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi

echo "deps: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# Lists that are missing or old make apt ask for files that are gone; a new attempt after an update mends both.
apt-get install -y -q --no-install-recommends "${missing[@]}" && exit 0
apt-get update -q
apt-get install -y -q --no-install-recommends "${missing[@]}"
