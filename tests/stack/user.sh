#!/bin/bash
# The same as an ordinary user, in a clone of their own and with the RUN_DIR that is chosen for them.
# shellcheck source=tests/stack/lib.bash
. "$(dirname "$0")/lib.bash"

as=()
clone=$PWD
if [[ $EUID -eq 0 ]]; then
  as=(setpriv --reuid=nobody --regid=nogroup --clear-groups --)
  clone=$scratch/clone
  mkdir "$clone"
  # What make looks at, with its times, so that nothing is compiled again.
  cp -a Makefile build sql nginx deploy src "$clone/"
  mkdir "$clone/tests"
  cp -a tests/golden "$clone/tests/"
  rm -f "$clone"/build/run-dir.*
  chown -R nobody:nogroup "$clone"
fi
mkdir -m 0777 "$scratch/tmp"
free_ports
user_make() {
  "${as[@]}" env -i PATH="$PATH" HOME=/nonexistent TMPDIR="$scratch/tmp" SANITIZE="${SANITIZE:-}" WERROR=0 \
    make --no-print-directory -C "$clone" "$@" PORT="$port" ADMIN_PORT="$admin" WORKERS=2 >"$scratch/out" 2>&1 </dev/null
}
check 'start as an ordinary user' user_make start
dir=$(cat "$clone/build/run-dir.$port."* 2>/dev/null || true)
is_private() { [[ $dir == "$scratch"/tmp/* && $(stat -c %a "$dir") == 700 ]]; }
check 'its RUN_DIR is a private temporary folder' is_private
check 'it serves' serves_agents "$port"
check 'status finds the folder' user_make status
one_user() { [[ $(for p in $(processes_in "$dir"); do awk '/^Uid:/ { print $2 }' "/proc/$p/status"; done | sort -u | wc -l) -eq 1 ]]; }
check 'all parts are that user' one_user
check 'stop' user_make stop
check 'nothing runs' nothing_runs "$dir"
check 'no socket is left' no_sockets "$dir"
rm -f "$clone/build/run-dir.$port."*
