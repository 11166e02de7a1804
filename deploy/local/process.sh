# shellcheck shell=bash
# process.sh: the daemons' identities. A process is known by pid, start time and boot, so that a recycled pid is never taken for
# ours; everything of a daemon's by program and working directory, so that children of a killed master are found too, and what was started
# by a shell that had no time to record it.

# Sets `stat`: the fields of /proc/PID/stat from the third (state) on; stat[3] is the session, stat[19] the start time.
read_stat() {
  local line
  stat=()
  { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
  read -ra stat <<<"${line##*) }"
  [[ ${#stat[@]} -gt 20 ]]
}

boot=$(</proc/sys/kernel/random/boot_id)

record() { # NAME PID
  read_stat "$2" || return 1
  printf '%s %s %s\n' "$2" "${stat[19]}" "$boot" >"$state/$1.new"
  mv -f "$state/$1.new" "$state/$1"
}

# Sets `pid` and `started` to what was recorded under NAME.
recalled() {
  local its_boot
  pid='' started=''
  { read -r pid started its_boot <"$state/$1"; } 2>/dev/null || return 1
  [[ $pid =~ ^[0-9]+$ && $its_boot == "$boot" ]]
}

# Is the process recorded under NAME running? Sets `pid`. A zombie that nobody reaps is dead.
alive() {
  recalled "$1" && read_stat "$pid" && [[ ${stat[19]} == "$started" && ${stat[0]} != Z && ${stat[0]} != X ]]
}

# Sets `members` to the running processes whose working directory is DIRECTORY and whose program is one of EXE, replaced since or not.
find_by_directory() { # DIRECTORY EXE…
  local p exe program
  members=()
  for p in $(find /proc/[0-9]*/cwd -maxdepth 0 -lname "$1" -printf '%h\n' 2>/dev/null || true); do
    exe=$(readlink "$p/exe" 2>/dev/null || true)
    for program in "${@:2}"; do
      [[ ${exe% (deleted)} != "$program" ]] || members+=("${p#/proc/}")
    done
  done
  return 0
}

now() { printf '%(%s)T' -1; }

# Waits until COMMAND succeeds, looking every 50 ms; false after SECONDS.
await() { # SECONDS COMMAND…
  local end=$(($(now) + $1))
  shift
  until "$@"; do
    (($(now) <= end)) || return 1
    sleep 0.05
  done
}

gone() { ! alive "$1"; }

# Sends SIGNAL to the process recorded under NAME and waits for its end; false after SECONDS.
end_leader() { # NAME SIGNAL SECONDS
  alive "$1" || return 0
  kill -s "$2" "$pid" 2>/dev/null || true
  await "$3" gone "$1"
}

no_members() {
  "$@"
  [[ ${#members[@]} -eq 0 ]]
}

# Ends what the finder (a command that sets `members`) finds: TERM, SECONDS, KILL.
end_members() { # SECONDS FINDER…
  local seconds=$1
  shift
  "$@"
  [[ ${#members[@]} -gt 0 ]] || return 0
  kill -s TERM "${members[@]}" 2>/dev/null || true
  await "$seconds" no_members "$@" && return 0
  "$@"
  [[ ${#members[@]} -eq 0 ]] || kill -s KILL "${members[@]}" 2>/dev/null || true
  await 10 no_members "$@" || complain "processes ${members[*]} survive KILL"
}
