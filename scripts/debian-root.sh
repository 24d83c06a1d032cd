#!/bin/bash
# debian-root.sh FOLDER: a clean Debian 12 in FOLDER, with a systemd that can be booted, to try packages in. One that is there
# already is brought up to date. Needs root, debootstrap and a mirror ($DEBIAN_MIRROR, http://deb.debian.org/debian without it).
# Exit code 77: none can be made here.
set -euo pipefail

finished=$1 folder=$1.unfinished mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
cannot() {
    echo "debian-root: cannot make a Debian root here: $*" >&2
    exit 77
}
[ "$(id -u)" -eq 0 ] || cannot "this is not root"
command -v debootstrap >/dev/null || cannot "there is no debootstrap"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
fail() {
    echo "debian-root: error: $*" >&2
    tail -n 20 "$log" >&2
    exit 1
}
/usr/lib/apt/apt-helper download-file "$mirror/dists/bookworm/Release" "$log" >/dev/null 2>&1 || cannot "$mirror does not answer"
if [ -d "$finished" ]; then
    chroot "$finished" apt-get update -q >"$log" 2>&1 || fail "apt-get update"
    exit 0
fi
rm -rf "$folder"
mkdir -p "$folder"
if ! debootstrap --variant=minbase --include=ca-certificates bookworm "$folder" "$mirror" >"$log" 2>&1; then
    ! grep -qE 'noexec or nodev|mknod|Operation not permitted' "$log" || cannot "$(tail -n 1 "$log")"
    fail "debootstrap"
fi
# Services are started by a test, in a box, and by nothing else.
printf '#!/bin/sh\nexit 101\n' > "$folder/usr/sbin/policy-rc.d"
chmod 0755 "$folder/usr/sbin/policy-rc.d"
cp /etc/resolv.conf "$folder/etc/resolv.conf"
# How this machine reaches the mirror.
grep -rhiE '^ *Acquire::.*Proxy' /etc/apt/apt.conf.d /etc/apt/apt.conf > "$folder/etc/apt/apt.conf.d/90proxy" 2>/dev/null || true
export DEBIAN_FRONTEND=noninteractive
chroot "$folder" apt-get update -q >"$log" 2>&1 || fail "apt-get update"
# debootstrap knows no packages that are provided by others.
chroot "$folder" apt-get install -y -q --no-install-recommends systemd dbus-user-session libpam-systemd >"$log" 2>&1 ||
    fail "apt-get install"
mv "$folder" "$finished"
