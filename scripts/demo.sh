#!/bin/bash
# demo.sh EICED EICECTL EMULATOR: the main job for all to see, on this machine alone.
#
# An emulated endpoint and a private sshd stand for AWS and the instance; eiced and eicectl are the real ones. Every
# command is shown with its outcome, and the first that fails ends the demo with its code. All files are in one
# temporary folder, all programs are children of this script, and both are gone at the end.
set -euo pipefail

eiced=$(realpath "$1") eicectl=$(realpath "$2") emulator=$(realpath "$3")
instance=i-0123456789abcdef0
address=10.0.1.5

directory=$(mktemp -d /tmp/eiced-demo.XXXXXX)
cd "$directory"
pids=()
made_run_sshd=
finish() {
    local code=$?
    trap - EXIT INT TERM
    if [ ${#pids[@]} -gt 0 ]; then
        kill "${pids[@]}" 2>/dev/null || true
        wait "${pids[@]}" 2>/dev/null || true
    fi
    if [ -n "$made_run_sshd" ]; then rmdir /run/sshd 2>/dev/null || true; fi
    if [ "$code" -ne 0 ]; then
        for log in eiced sshd emulator; do
            echo "--- the last lines of $log" >&2
            tail -n 20 "$directory/$log.log" >&2 2>/dev/null || true
        done
        echo "demo: FAILED" >&2
    fi
    cd / && rm -rf "$directory"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- showing

bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

# Runs a command line as a person would have typed it, and says how it ended.
run() {
    local began=${EPOCHREALTIME/[.,]/} code=0
    echo "\$ $*"
    bash -c "$*" || code=$?
    local milliseconds=$(((${EPOCHREALTIME/[.,]/} - began) / 1000))
    if [ "$code" -ne 0 ]; then
        echo "  failed with $code after $milliseconds ms"
        exit "$code"
    fi
    echo "  ok, $milliseconds ms"
}

fail() {
    echo "demo: error: $*" >&2
    exit 1
}

# Waits until a condition holds, 30 seconds at most, or until the program that was started last has ended.
await() {
    local what=$1 turns=0
    shift
    until "$@" >/dev/null 2>&1; do
        turns=$((turns + 1))
        kill -0 "$!" 2>/dev/null || fail "$what did not start"
        [ $turns -le 600 ] || fail "waited 30 s for $what"
        sleep 0.05
    done
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# The first port from $1 on that nobody listens on.
free_port() {
    local port=$1
    while listens "$port"; do port=$((port + 1)); done
    echo "$port"
}

# --- the stage

title "A private instance: sshd on loopback, with its own keys and configuration"
ssh-keygen -q -t ed25519 -N '' -C demo-host -f "$directory/host_key"
ssh-keygen -q -t ed25519 -N '' -C demo-user -f "$directory/user_key"
if [ "$(id -u)" -eq 0 ] && [ ! -d /run/sshd ]; then
    # As root sshd insists on this folder, which its service makes at boot.
    mkdir -m 0755 /run/sshd
    made_run_sshd=yes
fi
sshd_port=$(free_port $((20000 + RANDOM % 10000)))
cat > "$directory/sshd_config" <<END
ListenAddress 127.0.0.1:$sshd_port
HostKey $directory/host_key
AuthorizedKeysFile $directory/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
END
/usr/sbin/sshd -D -e -f "$directory/sshd_config" 2>"$directory/sshd.log" &
pids+=($!)
await "sshd" listens "$sshd_port"
echo "  sshd listens on 127.0.0.1:$sshd_port, and is what $instance ($address:22) will lead to"

title "An EC2 Instance Connect Endpoint: the emulator"
"$emulator" --directory "$directory" --target "$address:22=127.0.0.1:$sshd_port" --instance "$instance=$address" \
    >"$directory/environment" 2>"$directory/emulator.log" &
pids+=($!)
await "the emulator" grep -q EICED_CONNECT_TO "$directory/environment"
sed -E 's/((SECRET|TOKEN)[A-Z_]*=).*/\1…/; s/^/  /' "$directory/environment"
unset "${!AWS_@}"
set -a
# shellcheck source=/dev/null
. "$directory/environment"
set +a

title "eiced"
mkdir "$directory/bin"
ln -s "$eiced" "$directory/bin/eiced"
ln -s "$eicectl" "$directory/bin/eicectl"
export PATH="$directory/bin:$PATH"
mkdir -m 0700 "$directory/run" "$directory/config" "$directory/state"
export XDG_RUNTIME_DIR=$directory/run XDG_CONFIG_HOME=$directory/config XDG_STATE_HOME=$directory/state
unset EICED_SOCKET NOTIFY_SOCKET LISTEN_FDS LISTEN_PID LISTEN_FDNAMES
# The AWS files of whoever runs this are none of the demo's business.
export AWS_CONFIG_FILE="$directory/aws-config" AWS_SHARED_CREDENTIALS_FILE="$directory/aws-credentials"
eiced 2>"$directory/eiced.log" &
eiced_pid=$!
pids+=("$eiced_pid")
await "eiced" eicectl status
run eicectl version

cat > "$directory/ssh_config" <<END
Host *
    User $(id -un)
    IdentityFile $directory/user_key
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile $directory/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    HostKeyAlias $instance
    BatchMode yes
    LogLevel ERROR
Host i-* *.eice
    ProxyCommand eicectl proxy %h %p
    ProxyUseFdpass yes
END
echo "$instance $(cut -d' ' -f1,2 "$directory/host_key.pub")" > "$directory/known_hosts"
# What a person has in ~/.ssh/config; here it must be named, to leave that file alone.
config="-F ssh_config"

# --- the main job

title "A forward: a port of this machine that leads to port 22 of the instance"
port=$(free_port 2222)
[ "$port" = 2222 ] || echo "  (something listens on 2222 here, so this uses $port)"
run eicectl add "$instance" "22:$port"
run eicectl ls
run "ssh $config -p $port 127.0.0.1 uname -a"

title "64 MiB up and down"
head -c $((64 * 1024 * 1024)) /dev/urandom > sent
run "scp $config -q -P $port sent 127.0.0.1:\$PWD/there"
run "scp $config -q -P $port 127.0.0.1:\$PWD/there back"
run "sha256sum sent there back"
cmp sent there || fail "what arrived is not what was sent"
cmp sent back || fail "what came back is not what was sent"
echo "  all three are the same"

title "ssh by the instance's id, with no forward: ProxyCommand, and the tunnel's descriptor passed to ssh"
run "ssh $config $instance uname -a"
run "ssh $config -o ProxyUseFdpass=no $instance 'echo the same through a plain pipe'"

title "Two tunnels at once"
sessions=()
for session in 1 2; do
    mkfifo "$directory/hold$session"
    # shellcheck disable=SC2086
    ssh $config -p "$port" 127.0.0.1 "echo up; cat" <"$directory/hold$session" >"$directory/session$session" &
    sessions+=($!)
    pids+=($!)
done
exec 4>"$directory/hold1" 5>"$directory/hold2"
await "the first session" grep -q up "$directory/session1"
await "the second session" grep -q up "$directory/session2"
run eicectl status
tunnels=$(eicectl tunnels --json | jq '.tunnels | map(select(.state == "open")) | length')
[ "$tunnels" -eq 2 ] || fail "there should be two open tunnels, and there are $tunnels"
exec 4>&- 5>&-
for session in "${sessions[@]}"; do wait "$session"; done
echo "  both sessions ended well"

title "The end"
name=$(eicectl ls --json | jq -r '.forwards[0].name')
run eicectl rm "$name"
! listens "$port" || fail "port $port is still open"
run eicectl shutdown
code=0
wait "$eiced_pid" || code=$?
[ "$code" -eq 0 ] || fail "eiced ended with $code"
[ ! -e "$XDG_RUNTIME_DIR/eiced/control.sock" ] || fail "the control socket was left behind"
echo "  eiced ended with 0"

printf '\ndemo: done; eiced, sshd and the emulator are stopped and %s is removed\n' "$directory"
