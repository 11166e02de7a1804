# shellcheck shell=bash
# settings.sh: the variables of the stack, checked; sourced first by every script here. An empty variable means its default.
set -eu -o pipefail
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
umask 022

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
pg_bin=/usr/lib/postgresql/15/bin

# A reader that has gone away (a closed terminal, `make run | head`) must not keep a stop from finishing. Not '': daemons would inherit it.
trap : PIPE
say() { printf 'agents-fcgi: %s\n' "$*" 2>/dev/null || true; }
complain() { printf 'agents-fcgi: %s\n' "$*" >&2 2>/dev/null || true; }
die() {
  complain "$@"
  exit 1
}

check_number() { # NAME VALUE LOWEST HIGHEST
  [[ $2 =~ ^[0-9]{1,9}$ ]] && ((10#$2 >= $3 && 10#$2 <= $4)) ||
    die "$1=$2: must be a whole number from $3 to $4, as in make run $1=$5"
}

check_settings() {
  PORT=${PORT:-8004}
  check_number PORT "$PORT" 1 65535 8004
  PORT=$((10#$PORT))
  if [[ -z ${ADMIN_PORT:-} ]]; then
    ((PORT <= 64535)) || die "PORT=$PORT: PORT + 1000 is no port number, so name the admin port too, as in ADMIN_PORT=9004"
    ADMIN_PORT=$((PORT + 1000))
  fi
  check_number ADMIN_PORT "$ADMIN_PORT" 1 65535 9004
  ADMIN_PORT=$((10#$ADMIN_PORT))
  ((PORT != ADMIN_PORT)) || die "ADMIN_PORT=$ADMIN_PORT: is PORT already; choose another"
  WORKERS=${WORKERS:-16}
  check_number WORKERS "$WORKERS" 1 1024 16
  WORKERS=$((10#$WORKERS))
  LISTEN=${LISTEN:-127.0.0.1}
  local octet='(25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})'
  [[ $LISTEN =~ ^($octet\.){3}$octet$ || $LISTEN =~ ^\[[0-9a-fA-F:.]+\]$ ]] ||
    die "LISTEN=$LISTEN: must be an address of this machine, as in LISTEN=127.0.0.1, LISTEN=0.0.0.0 or LISTEN=[::1]"
  ACCESS_LOG=${ACCESS_LOG:-off}
  [[ $ACCESS_LOG == on || $ACCESS_LOG == off ]] || die "ACCESS_LOG=$ACCESS_LOG: must be on or off"
  DB_ROLE=${DB_ROLE:-asterisk}
  DB_NAME=${DB_NAME:-benchmarks}
  local name
  for name in DB_ROLE DB_NAME; do
    [[ ${!name} =~ ^[a-z_][a-z0-9_]{0,62}$ ]] || die "$name=${!name}: must be lower-case letters, digits and underscores"
  done
  DATABASE_URL=${DATABASE_URL:-}
  # Only the processes that need it get it back.
  export -n DATABASE_URL
  read -ra options <<<"${OPTIONS:-}"
}

# As root each part has its own unprivileged user; as anybody else all are that user.
if [[ $EUID -eq 0 ]]; then
  pg_user=postgres web_user=www-data pool_user=nobody
else
  pg_user=$(id -un) web_user=$pg_user pool_user=$pg_user
fi

# Sets the array `as` to the words that make a command run as USER.
become() {
  as=()
  [[ $EUID -ne 0 ]] || as=(setpriv "--reuid=$1" "--regid=$(id -g "$1")" --init-groups --)
}

# --- RUN_DIR ---------------------------------------------------------------------------------------------------------------

# Sets RUN_DIR; empty when none was ever made. With `make` as argument a private temporary one is made where it has to be.
find_run_dir() {
  local record=$project/build/run-dir.$PORT.$EUID
  if [[ -n ${RUN_DIR:-} ]]; then
    RUN_DIR=$(realpath -m -- "$RUN_DIR")
  elif [[ $EUID -eq 0 ]]; then
    RUN_DIR=/run/agents-fcgi-$PORT
  elif [[ -n ${XDG_RUNTIME_DIR:-} && -d $XDG_RUNTIME_DIR && -O $XDG_RUNTIME_DIR && -w $XDG_RUNTIME_DIR ]]; then
    RUN_DIR=$(realpath -m -- "$XDG_RUNTIME_DIR")/agents-fcgi-$PORT
  else
    RUN_DIR=
    [[ ! -f $record ]] || RUN_DIR=$(<"$record")
    # Somebody may have tidied /tmp since.
    [[ -n $RUN_DIR && -d $RUN_DIR && ! -L $RUN_DIR && -O $RUN_DIR ]] || RUN_DIR=
    if [[ -z $RUN_DIR && ${1:-} == make ]]; then
      mkdir -p "$project/build"
      RUN_DIR=$(mktemp -d "${TMPDIR:-/tmp}/agents-fcgi-$PORT.XXXXXX")
      printf '%s\n' "$RUN_DIR" >"$record" || die "cannot write $record, which remembers the private folder; set RUN_DIR"
    fi
  fi
  [[ -z $RUN_DIR ]] || check_run_dir_name
}

check_run_dir_name() {
  local longest=$RUN_DIR/pg/.s.PGSQL.5432.lock
  [[ $RUN_DIR != / ]] || die "RUN_DIR=/: must be a folder of its own, as in RUN_DIR=/tmp/agents-fcgi"
  [[ $RUN_DIR =~ ^[A-Za-z0-9/._+@,=-]+$ ]] ||
    die "RUN_DIR=$RUN_DIR: only letters, digits and / . _ + @ , = - may stand in it, because it goes into configuration files"
  ((${#longest} - 5 <= 107)) || die "RUN_DIR=$RUN_DIR: too long by $((${#longest} - 5 - 107)) bytes:" \
    "the path of a Unix socket in it may have 107; choose a shorter one, as in RUN_DIR=/tmp/agents-fcgi"
  state=$RUN_DIR/state
  pool_socket=$RUN_DIR/pool.sock
}

make_run_dir() {
  local error user
  error=$(mkdir -p -- "$RUN_DIR" 2>&1) || die "RUN_DIR=$RUN_DIR: ${error#mkdir: }; choose a folder that you may write"
  [[ -O $RUN_DIR ]] || die "RUN_DIR=$RUN_DIR: belongs to $(stat -c %U "$RUN_DIR"); choose a folder of your own"
  if [[ ! -e $RUN_DIR/.agents-fcgi && -n $(ls -A -- "$RUN_DIR") ]]; then
    die "RUN_DIR=$RUN_DIR: holds files of others; choose a new or empty folder"
  fi
  { : >"$RUN_DIR/.agents-fcgi"; } 2>/dev/null ||
    die "RUN_DIR=$RUN_DIR: cannot write there (read-only, or no space left); choose another folder"
  # Logs and configuration are nobody else's business; what others must reach gets its mode where it is made.
  umask 077
  mkdir -p "$state"
  if [[ $EUID -ne 0 ]]; then
    chmod 0700 "$RUN_DIR"
    return 0
  fi
  chmod 0711 "$RUN_DIR"
  for user in "$pg_user" "$web_user" "$pool_user"; do
    id "$user" >/dev/null 2>&1 || die "this system has no user $user, which the stack needs when root starts it"
    become "$user"
    "${as[@]}" test -x "$RUN_DIR/." ||
      die "RUN_DIR=$RUN_DIR: user $user cannot reach it (a folder above it is private); choose another, as in RUN_DIR=/run/agents-fcgi"
  done
}

# One start or stop at a time in a RUN_DIR. The daemons must not inherit the descriptor: they are started with {lock}>&-.
take_lock() {
  exec {lock}>"$RUN_DIR/lock"
  flock -n "$lock" && return 0
  say "waiting for another start or stop in $RUN_DIR"
  flock -w 120 "$lock" || die "another start or stop in $RUN_DIR has not ended for two minutes"
}

drop_lock() { exec {lock}>&-; }

check_space() { # MEGABYTES
  local free
  free=$(df -Pk -- "$RUN_DIR" | awk 'NR == 2 { print int($4 / 1024) }')
  ((free >= $1)) || die "RUN_DIR=$RUN_DIR: no space left: $free MB are free, $1 MB are needed; make room or choose another folder"
}
