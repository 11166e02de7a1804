# shellcheck shell=bash
# lib.bash: what the tests of the stack share. Each test starts stacks of its own in folders below $scratch, on free ports.
set -eu -o pipefail
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
unset DATABASE_URL PORT ADMIN_PORT LISTEN RUN_DIR OPTIONS WORKERS ACCESS_LOG DB_ROLE DB_NAME MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
unset "${!AGENTS_FCGI_@}" "${!PG@}"
# shellcheck disable=SC2034 # for the tests that source this
pg_bin=/usr/lib/postgresql/15/bin

scratch=$(mktemp -d "${TMPDIR:-/tmp}/agents-fcgi-stack.XXXXXX")
chmod 0711 "$scratch"
# Where `refused` looks for what was half-started.
stage=$scratch
background=()
mounted=

clean_up() {
  local status=$? p dir
  trap '' INT TERM HUP
  for p in "${background[@]}"; do kill -s TERM "$p" 2>/dev/null || true; done
  for p in "${background[@]}"; do wait "$p" 2>/dev/null || true; done
  for dir in "$scratch"/* "$scratch"/*/*; do
    [[ ! -e $dir/.agents-fcgi ]] || RUN_DIR=$dir deploy/local/stop >/dev/null 2>&1 || true
  done
  [[ -z $mounted ]] || umount "$mounted" || true
  rm -rf -- "$scratch"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

ok() { printf 'ok %s\n' "$1"; }
not_ok() {
  printf 'not ok %s\n' "$1"
  sed 's/^/    /' "$scratch/out" 2>/dev/null || true
}
check() { # NAME COMMAND…
  local name=$1
  shift
  if "$@"; then ok "$name"; else not_ok "$name"; fi
}

# What cannot be tried here is said, also by tests/run.
skip() { printf 'skipped %s: %s\n' "$1" "$2"; } # NAMES WHY

await() { # SECONDS COMMAND…
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS <= end)) || return 1
    sleep 0.1
  done
}

listening() {
  local wanted
  printf -v wanted ':%04X' "$1"
  grep -qiE "^ *[0-9]+: [0-9A-F]+$wanted [0-9A-F:]+ 0A " /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# Sets `port` and `admin`.
free_ports() {
  while
    port=$((20000 + RANDOM % 6000)) admin=$((26000 + RANDOM % 6000))
    listening "$port" || listening "$admin"
  do :; done
}

# make with its output in $scratch/out.
make_() { make --no-print-directory "$@" >"$scratch/out" 2>&1 </dev/null; }

# Does make fail, saying all of WORDS (split by |), and leave nothing behind in RUN_DIR?
refused() { # WORDS MAKE-ARGUMENTS…
  local words=$1 word
  shift
  if make_ "$@"; then return 1; fi
  while read -r word; do
    grep -qF -- "$word" "$scratch/out" || {
      echo "does not say: $word" >>"$scratch/out"
      return 1
    }
  done <<<"${words//|/$'\n'}"
  nothing_runs "$stage"
}

# The processes that work in DIRECTORY or below it, as all parts of a stack do.
processes_in() {
  local p
  for p in /proc/[0-9]*; do
    [[ "$(readlink "$p/cwd" 2>/dev/null || true)/" != "$1"/* ]] || echo "${p#/proc/}"
  done
}

nothing_runs() {
  local left
  left=$(processes_in "$1")
  [[ -z $left ]] || {
    local p
    for p in $left; do tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null || true; done >>"$scratch/out"
    echo "still running: $left" >>"$scratch/out"
    return 1
  }
}

no_sockets() {
  local left
  left=$(find "$1" \( -type s -o -name '*.pid' \) ! -path '*/pgdata/*' -print)
  [[ -z $left ]] || {
    echo "left behind: $left" >>"$scratch/out"
    return 1
  }
}

get() { # PORT PATH: the body, over bash's own sockets
  local fd
  exec {fd}<>"/dev/tcp/127.0.0.1/$1" || return 1
  printf 'GET %s HTTP/1.0\r\n\r\n' "$2" >&"$fd"
  sed '1,/^\r$/d' <&"$fd"
  exec {fd}>&-
}

serves_agents() { get "$1" /agents 2>/dev/null | cmp -s - tests/golden/agents.json; }

# `make run` in the background with a default SIGINT, its output in FILE; sets `make_pid`; false when it is not ready in a minute.
run_in_background() { # FILE MAKE-ARGUMENTS…
  local file=$1
  shift
  : >"$file"
  env --default-signal=INT,QUIT make --no-print-directory run "$@" >"$file" 2>&1 </dev/null &
  make_pid=$!
  background+=("$make_pid")
  await 90 grep -q '^ready: ' "$file"
}

ended() { ! kill -0 "$1" 2>/dev/null; }

# The pid of a part, as the stack has recorded it.
recorded() { cut -d' ' -f1 "$1/state/$2"; }
