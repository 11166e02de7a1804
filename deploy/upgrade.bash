# shellcheck shell=bash
# upgrade.bash: the workers of a running pool replaced one after the other, without a failed request. local/upgrade sources it; into the installed upgrade
# `make install` puts its text. They define
#   program            what the pool runs, to which they rename $program.new; $program.before is the program of before while an upgrade goes on
#   pool               its multiwatch
#   ready_ms           how long a successor may take to become ready
#   die WORDS…         tells why, and exits
#   judged             sets `verdict` to ready, or to why $successor, which came at $came_ms, is not; false when that cannot be told yet

now_ms() { printf '%s' $((${EPOCHREALTIME/./} / 1000)); }

# Waits until COMMAND succeeds, looking every 50 ms; false after MILLISECONDS.
await_ms() { # MILLISECONDS COMMAND…
  local end=$(($(now_ms) + $1))
  shift
  until "$@"; do
    (($(now_ms) <= end)) || return 1
    sleep 0.05
  done
}

children() { cat "/proc/$pool/task/"*/children 2>/dev/null || true; }

# A number that has been a child's may be any process's by now, and these signals may be root's.
is_child() { [[ " $(children | tr '\n' ' ') " == *" $1 "* ]]; }

# Sets `successor` to a child that was not there before, and `came_ms`.
find_successor() {
  local child
  for child in $(children); do
    if [[ " $before " != *" $child "* ]]; then
      # shellcheck disable=SC2034 # for judged
      successor=$child came_ms=$(now_ms)
      return 0
    fi
  done
  return 1
}

# Its event loop runs once SIGUSR1 (bit 9) has a handler and is no longer blocked: from then on it serves, and a signal is not lost. Between fork and
# exec it is still a copy of multiwatch, with its handlers.
in_loop() { # PID
  local key value blocked=ff caught=0
  [[ $(<"/proc/$1/comm") != multiwatch ]] || return 1
  while read -r key value; do
    case $key in
      SigBlk:) blocked=$value ;;
      SigCgt:) caught=$value ;;
    esac
  done <"/proc/$1/status" || return 1
  (((16#$blocked & 0x200) == 0 && (16#$caught & 0x200) != 0))
} 2>/dev/null

has_ended() { [[ ! -e /proc/$1 ]]; }
settled() { has_ended "$1" || in_loop "$1"; }

# While nothing is placed the two names are one file, which mv does not move.
restore() {
  if [[ ! $program.before -ef $program && -e $program.before ]]; then mv -f -- "$program.before" "$program"; fi
  rm -f -- "$program.before"
}

leave() {
  rm -f -- "$program.new"
  if [[ -n $finished ]]; then rm -f -- "$program.before"; else restore; fi
}

# Whatever ends an upgrade half-way from here on, the program of before comes back. Only this call's: one that was killed at once has left what is older still.
begin() {
  rm -f -- "$program.before"
  ln -- "$program" "$program.before"
  finished=
  trap leave EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
}

# A successor that is not ready takes requests all the same. It is killed, so that nginx sends them to another worker.
put_back() { # REASON
  restore
  if [[ -n $successor ]] && is_child "$successor"; then kill -s KILL "$successor" 2>/dev/null || true; fi
  die "stopped at worker $((told + 1)), whose successor $1; the program of before is back, and the other workers were left alone"
}

# Sets `told` to how many were replaced by the program that has been placed.
roll() {
  local old before successor verdict
  told=0
  for old in $(children); do
    # One that was forked a moment ago would lose the signal; one that has died by itself has its successor already.
    await_ms "$ready_ms" settled "$old" || true
    is_child "$old" || continue
    successor='' verdict='' before=$(children)
    before=${before//$'\n'/ }
    kill -s USR1 "$old" 2>/dev/null || continue
    # It drains for 61 s at most (DRAIN_MOST_S of worker.c).
    await_ms 65000 find_successor || put_back 'did not come in 65 s'
    await_ms "$ready_ms" judged || put_back "was not ready in $ready_ms ms"
    [[ $verdict == ready ]] || put_back "$verdict"
    told=$((told + 1))
  done
  finished=yes
}
