#!/bin/bash
# install.sh EICED EICECTL EMULATOR PREFIX [DESTDIR]: puts the programs and all that belongs to them below DESTDIR/PREFIX:
#
#   bin                                    the three programs that people run, stripped
#   libexec/eiced                          eicectl-commands, which eicectl becomes; it is taken from beside EICECTL
#   lib/systemd/user, lib/systemd/catalog  units with their drop-ins, the texts for journal entries
#   share/man                              man pages
#   share/bash-completion, zsh, fish       completions, as the programs themselves describe them
#   share/doc/eiced                        documents and an example configuration
#
# Whoever may write there may run it; nothing is enabled and nothing is started.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -ge 4 ] || { echo "usage: install.sh EICED EICECTL EMULATOR PREFIX [DESTDIR]" >&2; exit 64; }
eiced=$1 eicectl=$2 emulator=$3 prefix=$4 root=${5:-}$4
commands=$(dirname "$eicectl")/eicectl-commands
for program in "$eiced" "$eicectl" "$commands" "$emulator"; do
    [ -x "$program" ] || {
        echo "install: error: $program is not built" >&2
        echo "install: hint: make build" >&2
        exit 1
    }
done
case $prefix in
/*) ;;
*) echo "install: error: PREFIX is \"$prefix\", which is no absolute path" >&2; exit 64 ;;
esac
umask 022

# put MODE FILE NAME: a file by its name below the root.
put() { install -D -m "$1" "$2" "$root/$3"; }

install -D -s -m 0755 "$eiced" "$root/bin/eiced"
# First what the other one needs: commands may be called meanwhile.
install -D -s -m 0755 "$commands" "$root/libexec/eiced/eicectl-commands"
install -D -s -m 0755 "$eicectl" "$root/bin/eicectl"
install -D -s -m 0755 "$emulator" "$root/bin/eice-emulator"

# Units name the programs by their place, which is /usr/bin in the repository.
find systemd -type f ! -name '*.catalog' -printf '%P\n' | while read -r unit; do
    put 0644 "systemd/$unit" "lib/systemd/user/$unit"
    sed -i "s#=/usr/bin/#=$prefix/bin/#" "$root/lib/systemd/user/$unit"
done
find systemd -type f -name '*.catalog' -printf '%P\n' | while read -r catalog; do
    put 0644 "systemd/$catalog" "lib/systemd/catalog/$catalog"
done

for page in docs/man/*.[1-8]; do
    section=${page##*.}
    put 0644 "$page" "share/man/man$section/${page##*/}"
    gzip -9nf "$root/share/man/man$section/${page##*/}"
done

# zsh looks in one place for what the distribution brings and in another for what the administrator adds.
zsh=share/zsh/site-functions
if [ "$prefix" = /usr ]; then zsh=share/zsh/vendor-completions; fi
completions=$(mktemp)
trap 'rm -f "$completions"' EXIT
for program in "$eiced" "$eicectl" "$emulator"; do
    name=${program##*/}
    for target in "bash share/bash-completion/completions/$name" "zsh $zsh/_$name" \
        "fish share/fish/vendor_completions.d/$name.fish"; do
        "$program" --generate-completion-script "${target%% *}" > "$completions"
        put 0644 "$completions" "${target#* }"
    done
done
# They are read by the shell, not run.
sed -i '1{/^#!/d}' "$root/share/bash-completion/completions/"*

put 0644 README.md share/doc/eiced/README.md
(cd docs && find . -type f \( -name '*.md' -o -name '*.json' \) -printf '%P\n') | while read -r document; do
    put 0644 "docs/$document" "share/doc/eiced/docs/$document"
done
put 0644 docs/config.example.toml share/doc/eiced/examples/config.toml
put 0644 LICENSE share/doc/eiced/LICENSE
