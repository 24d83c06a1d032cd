#!/bin/bash
# Boots a real systemd in Linux namespaces, with a user manager for an ordinary user, so that what a service does can be
# tested on a machine whose PID 1 is something else. Needs root. Nothing that happens in it reaches the machine: its root is
# an overlay in memory. It shares the machine's network, so that a test can connect to what listens inside.
#
#   systemd-box.sh run DIRECTORY            boot; stays in the foreground and takes all of it down when it ends.
#                                           DIRECTORY/files is copied over the box's root before. Prints "up" once the
#                                           user manager runs. Exit code 77: such namespaces cannot be made here.
#                                           The machine's own root is below the overlay, or that of $EICED_BOX_ROOT.
#   systemd-box.sh in DIRECTORY USER CMD…   run a command inside as root, alice (who has the user manager, and lingers)
#                                           or mallory (a second user, unrelated)
#
# Real in it: notification, socket activation, the fd store, watchdogs, restarts, the journal, logind's lingering, sandboxes.
# Not in it: resource controllers (limits of memory and processor are accepted and not enforced), udev.
set -euo pipefail

readonly alice=5801 mallory=5802

fail() {
    echo "systemd-box: error: $*" >&2
    exit 1
}

# The kernel, or a container around this machine, does not allow what a box needs.
cannot() {
    echo "systemd-box: cannot make such namespaces here: $*" >&2
    exit 77
}

# --- Outside -----------------------------------------------------------------------------------------------------------

run() {
    directory=$(realpath "$1")
    [ "$(id -u)" -eq 0 ] || cannot "this is not root"
    [ -x /usr/lib/systemd/systemd ] || cannot "there is no systemd (Debian package systemd)"
    [ -e /usr/lib/systemd/user/dbus.socket ] || cannot "there is no bus for users (Debian package dbus-user-session)"
    mkdir -p "$directory/cgroup" "$directory/memory" "$directory/files"
    rm -f "$directory/pid" "$directory/up"
    unshare --mount --propagation private true 2>"$directory/why" || cannot "$(cat "$directory/why")"
    exec unshare --mount --propagation private "$0" in-mount-namespace "$directory"
}

# A cgroup of its own, which becomes the root of the box's cgroup namespace.
in_mount_namespace() {
    directory=$1
    mount -t cgroup2 cgroup2 "$directory/cgroup" 2>/dev/null || cannot "cgroup v2 cannot be mounted"
    # Left by boxes that were killed.
    local old
    for old in "$directory"/cgroup/eiced-box.*; do
        [ ! -d "$old" ] || kill -0 "${old##*.}" 2>/dev/null || find "$old" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
    local group=$directory/cgroup/eiced-box.$$
    mkdir "$group" 2>/dev/null || cannot "a cgroup cannot be made"
    # A child in the cgroup, and not this shell, which removes it in the end. Whoever kills this shell ends the box; the kernel
    # ends all processes of a namespace with its PID 1.
    # shellcheck disable=SC2016 # the inner shell's own
    setpriv --pdeathsig KILL bash -c 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"' - "$group" \
        unshare --mount --pid --fork --kill-child --ipc --uts --cgroup --propagation private "$0" boot "$directory" \
        </dev/null &
    local box=$!
    trap 'kill -KILL "$box" 2>/dev/null || true' TERM INT HUP
    await "$directory" "$box" && echo up
    local code=0
    # A trapped signal ends this wait, and the next one finds the end.
    wait "$box" || code=$?
    wait "$box" 2>/dev/null || true
    # The kernel takes a moment until the last process is gone.
    for _ in {1..50}; do
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
        sleep 0.1
    done
    [ "$code" -ne 77 ] || exit 77
}

# Until the user manager answers.
await() {
    local directory=$1 box=$2 tries=0
    until [ -s "$directory/pid" ] && enter "$directory" alice systemctl --user is-system-running >/dev/null 2>&1; do
        kill -0 "$box" 2>/dev/null || return 1
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || fail "no user manager after 30 s"
        sleep 0.1
    done
}

# --- In the new namespaces, as their PID 1 ---------------------------------------------------------------------------------

boot() {
    directory=$1
    local process
    # This /proc is still the machine's, so it tells the number that this process has there.
    read -r process _ </proc/self/stat
    mount -t tmpfs -o mode=755 eiced-box "$directory/memory" 2>/dev/null || cannot "a tmpfs cannot be mounted"
    mkdir "$directory"/memory/{upper,work,root}
    cd "$directory/memory"
    mount -t overlay -o "lowerdir=${EICED_BOX_ROOT:-/},upperdir=upper,workdir=work" eiced-box root 2>/dev/null ||
        cannot "an overlay over / cannot be mounted"
    cd root
    mount --rbind /dev dev
    mount --bind /sys sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t proc proc proc
    mount -t tmpfs -o mode=755 tmpfs run
    mount -t tmpfs -o mode=1777 tmpfs tmp
    prepare
    cp -a --no-preserve=ownership "$directory/files/." .
    chown -R $alice:$alice home/alice
    mkdir machine
    pivot_root . machine
    umount -l /machine
    rmdir /machine 2>/dev/null || true
    # Outside the new root by its path, inside the old one by this descriptor.
    echo "$process" >&3
    exec 3>&-
    exec env -i container=eiced-box PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        /usr/lib/systemd/systemd --system --unit=box.target --log-target=journal --show-status=no
}

# A system that has little beside the user manager: nothing that the machine enabled, nothing that touches hardware or kernel.
prepare() {
    rm -rf etc/systemd/system etc/systemd/user etc/fstab var/log/journal
    mkdir -p etc/systemd/system etc/systemd/user etc/systemd/journald.conf.d var/log/journal var/lib/systemd/linger
    tr -d - </proc/sys/kernel/random/uuid >etc/machine-id
    local unit
    for unit in systemd-{udevd,udev-trigger,sysctl,modules-load,binfmt,timesyncd,networkd,resolved,random-seed}.service \
        systemd-{remount-fs,update-utmp,pcrphase-sysinit,hwdb-update}.service \
        systemd-udevd-{control,kernel}.socket proc-sys-fs-binfmt_misc.automount dev-{hugepages,mqueue}.mount \
        sys-{kernel-{debug,tracing,config},fs-fuse-connections}.mount; do
        ln -s /dev/null "etc/systemd/system/$unit"
    done
    cat >etc/systemd/system/box.target <<'UNIT'
[Unit]
Wants=systemd-logind.service dbus.socket
After=systemd-logind.service
UNIT
    cat >etc/systemd/journald.conf.d/box.conf <<'CONF'
[Journal]
# A journal on (this) disk is split by users, which `journalctl --user` needs.
Storage=persistent
ReadKMsg=no
Audit=no
RateLimitBurst=0
CONF
    local user
    for user in alice:$alice mallory:$mallory; do
        chroot . useradd --create-home --uid "${user#*:}" --user-group --shell /bin/bash "${user%:*}"
    done
    touch var/lib/systemd/linger/alice
}

# --- Commands --------------------------------------------------------------------------------------------------------------

enter() {
    local directory=$1 user=$2 process uid home
    shift 2
    [ -s "$directory/pid" ] || fail "no box runs in $directory"
    process=$(cat "$directory/pid")
    case $user in
    root) uid=0 home=/root ;;
    alice) uid=$alice home=/home/alice ;;
    mallory) uid=$mallory home=/home/mallory ;;
    *) fail "there is no user $user" ;;
    esac
    local environment=(PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin "HOME=$home" "USER=$user" "LOGNAME=$user" LANG=C.UTF-8)
    [ "$uid" -eq 0 ] || environment+=("XDG_RUNTIME_DIR=/run/user/$uid"
        "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$uid/bus")
    # shellcheck disable=SC2016
    nsenter --target "$process" --mount --pid --ipc --uts --cgroup --root --wd -- \
        env -i "${environment[@]}" setpriv --reuid "$uid" --regid "$uid" --clear-groups -- \
        sh -c 'cd "$HOME" && exec "$@"' - "$@"
}

case ${1:-} in
run) run "$2" ;;
in-mount-namespace) in_mount_namespace "$2" ;;
boot) boot "$2" 3>"$2/pid" ;;
in)
    shift
    enter "$@"
    ;;
*)
    sed -n '2,17s/^# \{0,1\}//p' "$0"
    exit 64
    ;;
esac
