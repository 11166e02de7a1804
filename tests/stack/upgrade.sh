#!/bin/bash
# deploy/local/upgrade: every worker is replaced, or nothing is. Under load: tests/system.
# shellcheck source=tests/stack/lib.bash
. "$(dirname "$0")/lib.bash"

WORKER=${WORKER:-$([[ -n ${SANITIZE:-} ]] && echo build/san/agents-fcgi || echo build/agents-fcgi)}
free_ports
one=(PORT="$port" ADMIN_PORT="$admin" WORKERS=3 RUN_DIR="$scratch/one")
upgrade() { env "${one[@]}" deploy/local/upgrade "$@" >"$scratch/out" 2>&1 </dev/null; }
workers() { cat "/proc/$(recorded "$scratch/one" pool)/task/"*/children; }
all_new() { # WORKERS-BEFORE
  local p
  for p in $(workers); do [[ " $1 " != *" $p "* ]] || return 1; done
}
says() { ! upgrade "$1" && grep -qF -- "$2" "$scratch/out"; }
same_file() { [[ $(sha256sum <"$scratch/one/agents-fcgi") == "$before" ]]; }

check 'nothing to upgrade' says "$WORKER" 'there is no stack'
check 'start' make_ start "${one[@]}"
pids=$(workers)
check 'upgrade' upgrade "$WORKER"
check 'it counts them' grep -q '3 workers replaced' "$scratch/out"
check 'every worker is new' all_new "$pids"
check 'they serve' serves_agents "$port"
check 'nothing is left of the old file' test ! -e "$scratch/one/agents-fcgi.before" -a ! -e "$scratch/one/agents-fcgi.new"
check 'make upgrade' make_ upgrade "${one[@]}" WORKER="$WORKER"

before=$(sha256sum <"$scratch/one/agents-fcgi") pids=$(workers)
printf '#!/bin/sh\nexit 0\n' >"$scratch/idle"
chmod 0755 "$scratch/idle"
check 'no program' says "$scratch/nowhere" 'is no program'
check 'a program that is no worker' says "$scratch/idle" 'failed its check'
check 'the file is as before' same_file
unchanged() { [[ $(workers) == "$pids" ]]; }
check 'and so are the workers' unchanged

# One that passes its check, and then ends.
cp "$WORKER" "$scratch/real"
# shellcheck disable=SC2016 # for the script
printf '#!/bin/sh\ncase "$*" in *--check*|*--print-config*) exec %s "$@" ;; esac\nexit 1\n' "$scratch/real" >"$scratch/liar"
chmod 0755 "$scratch/liar" "$scratch/real"
check 'a worker that does not stay' says "$scratch/liar" 'stopped at worker 1'
check 'the old file is back' same_file
whole() { [[ $(workers | wc -w) -eq 3 ]]; }
check 'the pool is whole' await 30 whole
check 'it serves' await 30 serves_agents "$port"

# Ended half-way, while it waits for a successor that passes its check and is not ready until it may.
# shellcheck disable=SC2016 # for the script
printf '#!/bin/sh\ncase "$*" in *--check*|*--print-config*) exec %s "$@" ;; esac\nuntil [ -e %s ]; do sleep 0.05; done\nexec %s "$@"\n' \
  "$scratch/real" "$scratch/may" "$scratch/real" >"$scratch/late"
chmod 0755 "$scratch/late"
# Sets `upgrade_pid` to an upgrade that has told the first worker to drain; its successor has come.
upgrade_begins() {
  pids=$(workers)
  env "${one[@]}" deploy/local/upgrade "$scratch/late" >"$scratch/out" 2>&1 </dev/null &
  upgrade_pid=$!
  await 30 first_replaced
}
first_replaced() { whole && ! unchanged; }
check 'an upgrade that waits' upgrade_begins
kill -s TERM "$upgrade_pid"
ended_by_term() {
  local status=0
  wait "$upgrade_pid" || status=$?
  ((status == 143))
}
check 'is ended' ended_by_term
check 'the file of before is back' same_file
check 'and nothing else is left' test ! -e "$scratch/one/agents-fcgi.before" -a ! -e "$scratch/one/agents-fcgi.new" -a ! -e "$scratch/one/check.sock"
touch "$scratch/may"
check 'the pool serves' await 30 serves_agents "$port"
check 'the good file again' upgrade "$WORKER"
check 'which replaces all of them' grep -q '3 workers replaced' "$scratch/out"

# A worker dies before its turn, while the upgrade waits for the first successor.
rm "$scratch/may"
check 'an upgrade that waits again' upgrade_begins
read -ra words <<<"$pids"
check 'the last worker dies' kill -s KILL "${words[2]}"
without_the_last() { whole && [[ " $(workers) " != *" ${words[2]} "* ]]; }
check 'and has its successor' await 30 without_the_last
touch "$scratch/may"
check 'the upgrade goes on' wait "$upgrade_pid"
check 'with the others' grep -q '2 workers replaced' "$scratch/out"
check 'every worker is new again' all_new "$pids"
check 'stop' make_ stop "${one[@]}"
check 'nothing runs' nothing_runs "$scratch/one"
