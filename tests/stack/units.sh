#!/bin/bash
# What `make install` puts there: the units as systemd judges them, their very command lines run here without it, and the upgrade.
# shellcheck disable=SC2016 # words of the unit
# shellcheck source=tests/stack/lib.bash
. "$(dirname "$0")/lib.bash"

# --- a machine's folders, in this one's ---------------------------------------------------------------------------------------------

dest=$scratch/dest
run=$scratch/run state=$scratch/state prefix=$scratch/prefix
installs() {
  make_ install SANITIZE= "DESTDIR=$1" "PREFIX=$2" "${@:3}"
}
check 'install for a machine' installs "$dest" /usr
check 'install for this test' installs '' "$prefix" UNITDIR="$scratch" CONFIG="$scratch/agents-fcgi.conf" RUNDIR="$run" STATEDIR="$state" WEB_GROUP="$(id -gn)"
pace_has_its_page() { "$dest/usr/bin/pace" --help >"$scratch/out" && cmp bench/pace/pace.1 "$dest/usr/share/man/man1/pace.1" >"$scratch/out" 2>&1; }
check 'pace, and its man page' pace_has_its_page
unit=$scratch/agents-fcgi.service
nothing_unfilled() { ! grep -rE '@[A-Z_]+@' "$dest" --include='*.service' --include='upgrade' --include='agents-fcgi.conf' --exclude-dir=nginx; }
check 'nothing between @ signs is left' nothing_unfilled
sample_is_default() {
  local sample=$dest/usr/share/agents-fcgi/agents-fcgi.conf
  diff <(env -i "$WORKER" --config "$sample" --print-config) <(env -i "$WORKER" --print-config) >"$scratch/out" &&
    diff <(sed 's/^#\([a-z]\)/\1/' "$sample" >"$scratch/all.conf" && env -i "$WORKER" --config "$scratch/all.conf" --print-config) \
      <(env -i "$WORKER" --print-config) >"$scratch/out"
}
WORKER=${WORKER:-build/agents-fcgi}
check 'the sample of the options is the defaults, in comments and without' sample_is_default

# Eight events at once, of each of which every worker writes as much as it may.
journal_takes_it() {
  local workers lines seconds burst
  workers=$(sed -n 's/^Environment=WORKERS=//p' "$unit")
  seconds=$(sed -n 's/^LogRateLimitIntervalSec=\([0-9]*\)s$/\1/p' "$unit")
  burst=$(sed -n 's/^LogRateLimitBurst=//p' "$unit")
  lines=$(sed -n 's/^#define LOG_LIMIT_LINES //p' src/log_limit.h)
  ((workers > 0 && lines > 0 && seconds > 0 && 8 * workers * lines * seconds <= burst))
}
check 'journald takes what the workers may write' journal_takes_it

if command -v systemd-analyze >/dev/null; then
  # The program is where the unit says only on a machine.
  verified() {
    systemd-analyze verify --man=no "$unit" >"$scratch/out" 2>&1 && [[ ! -s $scratch/out ]]
  }
  check 'systemd-analyze verify' verified
  rated() {
    systemd-analyze security --offline=true --no-pager --threshold=20 "$dest/usr/lib/systemd/system/agents-fcgi.service" >"$scratch/out" 2>&1
  }
  check 'systemd-analyze security: 2.0 or better' rated
  users() { systemd-sysusers --root="$scratch/root" "$dest/usr/lib/sysusers.d/agents-fcgi.conf" >"$scratch/out" 2>&1 && grep -q '^agents-fcgi:' "$scratch/root/etc/passwd"; }
  mkdir -p "$scratch/root/etc"
  if [[ $EUID -eq 0 ]]; then
    printf 'www-data:x:33:\nadm:x:4:\n' >"$scratch/root/etc/group"
    check 'sysusers' users
    folders() {
      systemd-tmpfiles --root="$scratch/root" --create "$dest/usr/lib/tmpfiles.d/agents-fcgi.conf" >"$scratch/out" 2>&1 &&
        [[ $(stat -c '%a %g' "$scratch/root/run/agents-fcgi") == '2750 33' && $(stat -c '%a %u' "$scratch/root/var/lib/agents-fcgi") == '750 0' ]]
    }
    check 'tmpfiles' folders
    log_is_private() { [[ $(stat -c '%a %u %g' "$scratch/root/var/log/agents-fcgi/access.log") == '640 0 4' ]]; }
    check 'the access log is not for everybody' log_is_private
  else
    skip 'sysusers, tmpfiles, the access log is not for everybody' 'only root can make their folders'
  fi
else
  skip 'systemd-analyze verify, systemd-analyze security, sysusers, tmpfiles, the access log is not for everybody' 'there is no systemd-analyze (package systemd)'
fi

# --- its command lines ----------------------------------------------------------------------------------------------------------------

as=()
user=$(id -un)
if [[ $EUID -eq 0 ]]; then
  user=nobody
  as=(setpriv --reuid=nobody --regid=nogroup --clear-groups --)
fi
cp "$prefix/share/agents-fcgi/agents-fcgi.conf" "$scratch/agents-fcgi.conf"
mkdir "$run" "$state" "$state/bin"
chmod 0711 "$state"
[[ $EUID -ne 0 ]] || chown "$user" "$run"

# The environment that the unit gives.
mapfile -t environment < <(sed -n 's/^Environment=//p' "$unit")
environment+=(WORKERS=3 PATH="$PATH")
# KEY NUMBER: sets `words` to those of its line of that name, without prefix and with the environment filled in, as systemd does.
words_of() {
  local line
  line=$(sed -n "s/^$1=//p" "$unit" | sed -n "$2p")
  [[ -n $line ]] || return 1
  line=${line#[-+]}
  line=${line//'${WORKERS}'/3}
  line=${line//'$MAINPID'/${pool:-}}
  read -ra words <<<"$line"
}
# Where the upgrade asks for the workers' state; nobody listens on port 1.
told_by=1
# As its user, or as root (+), which in this test is whoever we are.
runs_line() { # KEY NUMBER
  local line
  line=$(sed -n "s/^$1=//p" "$unit" | sed -n "$2p")
  words_of "$1" "$2" || return 1
  if [[ $line == +* ]]; then
    env -i "${environment[@]}" MAINPID="${pool:-}" ADMIN_PORT="$told_by" "${words[@]}" >"$scratch/out" 2>&1 </dev/null
  else
    "${as[@]}" env -i "${environment[@]}" MAINPID="${pool:-}" "${words[@]}" >"$scratch/out" 2>&1 </dev/null
  fi
}
check 'ExecStartPre: place' runs_line ExecStartPre 1
check 'ExecStartPre: the options' runs_line ExecStartPre 2
check 'which it prints' grep -q '^request-timeout = 5000ms$' "$scratch/out"
# A start with a full disk.
if [[ $EUID -eq 0 ]] && mkdir "$scratch/full" && mount -t tmpfs -o size=20m none "$scratch/full" 2>/dev/null; then
  mounted=$scratch/full
  places() { # INSTALLED
    words_of ExecStartPre 1 && env INSTALLED="$1" STATEDIR="$scratch/full" "${words[@]}" >"$scratch/out" 2>&1 </dev/null
  }
  fill() { dd if=/dev/zero of="$scratch/full/zeroes" bs=64k status=none 2>/dev/null || true; }
  only_the_copy() { [[ $(ls "$scratch/full/bin") == agents-fcgi ]] && cmp -s "$state/bin/agents-fcgi" "$scratch/full/bin/agents-fcgi"; }
  says_nothing() { [[ ! -s $scratch/out ]]; }
  cp "$state/bin/agents-fcgi" "$scratch/other"
  printf 'another' >>"$scratch/other"
  fill
  cannot_place() { ! places "$state/bin/agents-fcgi"; }
  check 'place: no space, and no program of before' cannot_place
  rm "$scratch/full/zeroes"
  check 'place: with space' places "$state/bin/agents-fcgi"
  fill
  check 'place: no space, the same program' places "$state/bin/agents-fcgi"
  check 'which needs none' says_nothing
  check 'place: no space, another program' places "$scratch/other"
  check 'the program of before is kept' only_the_copy
  check 'and it says so' grep -q 'the pool starts with the program of before$' "$scratch/out"
  umount "$mounted"
  mounted=
else
  skip 'place, with a full disk' 'no tmpfs can be mounted'
fi

starts() {
  words_of ExecStart 1 || return 1
  (cd "$run" && exec "${as[@]}" env -i "${environment[@]}" "${words[@]}") >"$scratch/log" 2>&1 </dev/null &
  pool=$!
  background+=("$pool")
  await 20 test -S "$run/pool.sock" && await 20 has_workers 3
}
workers() { cat "/proc/$pool/task/"*/children 2>/dev/null || true; }
has_workers() { [[ $(workers | wc -w) -eq $1 ]]; }
in_loops() { [[ $(grep -c '"event": *"started"' "$scratch/log") -ge $1 ]]; }
pool=''
check 'ExecStart' starts
is_multiwatch() { [[ $(<"/proc/$pool/comm") == multiwatch ]]; }
check 'whose main process is multiwatch' is_multiwatch
check 'the socket has its mode' bash -c "[[ \$(stat -c %a '$run/pool.sock') == 660 ]]"
check 'the workers start' await 20 in_loops 3

# --- the upgrade ------------------------------------------------------------------------------------------------------------------------

installed=$prefix/sbin/agents-fcgi
all_new() {
  local p
  for p in $(workers); do [[ $(stat -Lc %i "/proc/$p/exe") == "$(stat -c %i "$state/bin/agents-fcgi")" ]] || return 1; done
}
before=$(workers)
check 'ExecReload: roll' runs_line ExecReload 2
check 'it says so' grep -q '^upgrade: 3 workers replaced, agents-fcgi ' "$scratch/out"
check 'and that nobody could be asked' grep -q '^upgrade: nobody on 127.0.0.1:1 told whether a successor is ready' "$scratch/out"
none_left() {
  local p
  for p in $before; do [[ ! -e /proc/$p ]] || return 1; done
}
check 'no worker of before is left' none_left
check 'all workers run the placed program' all_new
check 'there are as many' has_workers 3
refuses() { ! runs_line "$@"; }

# Who is asked says of all workers what stands in a file, or takes the request, says nothing, and notes it.
cat >"$scratch/tell.py" <<'END'
import glob
import json
import socket
import sys

pool, port, what = sys.argv[1:]
listener = socket.create_server(('127.0.0.1', int(port)))
kept = []
while True:
    peer, _ = listener.accept()
    with open(what) as file:
        ready = file.read().strip()
    if ready == 'silent':
        kept.append(peer)
        with open(f'{what}.silent', 'a') as file:
            print('asked', file=file)
        continue
    peer.recv(1000)
    pids = [int(pid) for name in glob.glob(f'/proc/{pool}/task/*/children') for pid in open(name).read().split()]
    workers = [{'pid': pid, 'state': 'idle', 'ready': ready == 'ready'} for pid in pids]
    peer.sendall(b'HTTP/1.1 200 OK\r\n\r\n' + json.dumps({'worker_list': workers}, indent=1).encode())
    peer.close()
END
free_ports
/usr/bin/python3 -IS "$scratch/tell.py" "$pool" "$admin" "$scratch/told" >/dev/null 2>&1 </dev/null &
background=("$!" "${background[@]}")
await 20 listening "$admin" || not_ok 'who is asked listens'
told_by=$admin
before=$(workers)
echo unready >"$scratch/told"
check 'a successor that is told not to be ready is refused' refuses ExecReload 2
check 'for that reason' grep -q 'stopped at worker 1, whose successor was not ready in' "$scratch/out"
others_left() { (($(comm -12 <(tr ' ' '\n' <<<"$before" | sort) <(workers | tr ' ' '\n' | sort) | grep -c .) >= 2)); }
check 'the others are left alone' others_left
check 'and there is another for it' await 20 has_workers 3
check 'nothing but the program is left' bash -c "[[ \$(ls '$state/bin') == agents-fcgi ]]"
echo ready >"$scratch/told"
check 'those that are told to be ready are not' runs_line ExecReload 2
asked() { grep -q '3 workers replaced' "$scratch/out" && ! grep 'nobody' "$scratch/out"; }
check 'and somebody was asked' asked
echo silent >"$scratch/told"
check 'who is asked and says nothing refuses nobody' runs_line ExecReload 2
# With a look that waited for its answer it would be asked once for each successor.
asked_again() { (($(grep -c asked "$scratch/told.silent") > 3)); }
check 'is asked again while a successor has time' asked_again
check 'and is nobody' grep -q "nobody on 127.0.0.1:$admin told" "$scratch/out"
told_by=1

check 'ExecReload: a database that cannot be reached is refused' refuses ExecReload 1
mv "$installed" "$installed.real"
printf '#!/bin/sh\ncase "$*" in *--version*) exec "%s.real" "$@" ;; esac\nexit 1\n' "$installed" >"$installed"
chmod 0755 "$installed"
before=$(workers)
check 'a program that ends at once is refused' refuses ExecReload 2
check 'at the first worker' grep -q 'stopped at worker 1, whose successor' "$scratch/out"
check 'the program of before is back' cmp -s "$state/bin/agents-fcgi" "$installed.real"
check 'there are as many workers' await 20 has_workers 3
check 'the others were left alone' others_left
# One that cannot be placed, as with a full disk.
rm "$installed"
check 'a program that is not there is refused' refuses ExecReload 2
check 'the program of before is still there' cmp -s "$state/bin/agents-fcgi" "$installed.real"
mv "$installed.real" "$installed"
check 'the good program again' runs_line ExecReload 2
no_pool() { pool='' && refuses ExecReload 2 && grep -q 'systemctl reload' "$scratch/out"; }
check 'without a pool it says what to do' no_pool
pool=${background[-1]}

# --- the stop ---------------------------------------------------------------------------------------------------------------------------

check 'ExecStop' runs_line ExecStop 1
check 'ends multiwatch' await 20 bash -c "! kill -0 $pool 2>/dev/null"
check 'and its workers' await 20 nothing_runs "$run"
