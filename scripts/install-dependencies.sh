#!/bin/bash
# Installs the Debian packages that building, testing and the demo need beside a Swift toolchain, and only those that
# are missing. Does nothing, and needs no network and no root, where all of them are there.
set -euo pipefail

packages=(
    # What the programs are built with.
    libssl-dev libsystemd-dev libcurl4-openssl-dev libexpat1-dev libtomlplusplus-dev libstdc++-12-dev
    # What tests and demo run: a private sshd, certificates, the unit check, and the tools that a script would
    # speak the control protocol with.
    openssh-server openssh-client openssl systemd jq netcat-openbsd tinyproxy-bin stunnel4 faketime iproute2
    # AWS's own library and a server with EC2 and STS are installed from PyPI (scripts/test-python.sh).
    python3 python3-venv
    # The box that boots a system (scripts/systemd-box.sh).
    dbus-user-session libpam-systemd util-linux passwd
    # The shells whose completions are tried, and what checks man pages and the package.
    zsh fish mandoc man-db dpkg-dev xz-utils lintian debootstrap
    # What lint runs.
    shellcheck
)

# With the argument `bench`: what eiced is measured beside, and what counts its instructions.
[ "${1:-}" = bench ] && packages+=(socat valgrind)

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
