# shellcheck shell=bash
# peer.sh: what the peers share; sourced by their verbs up, down, url and install. Everything comes by environment: PEER_DIR (a folder of
# the caller's, for this peer alone), PORT, LISTEN, WORKERS, PGHOST, PGPORT, PGUSER, PGDATABASE. `up FORM` writes PEER_DIR/components, a line
# `NAME PID` for the root of each tree of processes.
verb=$(basename "$0")
peers=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
here=$(cd "$(dirname "$0")" && pwd -P)
# shellcheck disable=SC2034 # for fastify-pg
caller_path=${PATH:-}
# shellcheck source=deploy/local/settings.sh disable=SC2034
. "$peers/../../deploy/local/settings.sh"
# shellcheck source=deploy/local/process.sh
. "$project/deploy/local/process.sh"
# shellcheck source=deploy/local/pool.sh disable=SC2153
. "$project/deploy/local/pool.sh"

say() { printf 'peer %s: %s\n' "$(basename "$here")" "$*" 2>/dev/null || true; }
complain() { say "$@" >&2; }

need_number() { # NAME LOWEST HIGHEST
  [[ ${!1} =~ ^[0-9]{1,9}$ ]] && ((10#${!1} >= $2 && 10#${!1} <= $3)) || die "$1=${!1}: must be a whole number from $2 to $3"
}

find_peer_dir() {
  [[ ${PEER_DIR:-} =~ ^/[A-Za-z0-9/._+@,=-]+$ ]] ||
    die "PEER_DIR=${PEER_DIR:-}: must be the whole path of a folder, of letters, digits and / . _ + @ , = - only"
  PEER_DIR=$(realpath -m -- "$PEER_DIR")
  state=$PEER_DIR/state
}

check_listen() {
  LISTEN=${LISTEN:-127.0.0.1}
  [[ $LISTEN =~ ^([0-9]{1,3}\.){3}[0-9]{1,3}$ ]] || die "LISTEN=$LISTEN: must be an IPv4 address of this machine"
  PORT=${PORT:-}
  need_number PORT 1 65535
}

# The folder and the variables of `up`. WORKERS defaults to the first argument.
peer_settings() { # WORKERS
  local name
  find_peer_dir
  check_listen
  WORKERS=${WORKERS:-$1}
  need_number WORKERS 1 1024
  PGPORT=${PGPORT:-5432}
  for name in PGHOST PGUSER PGDATABASE PGPORT; do
    [[ ${!name:-} =~ ^[A-Za-z0-9/._+@,=-]+$ ]] || die "$name=${!name:-}: must be set, of letters, digits and / . _ + @ , = - only"
  done
  mkdir -p "$PEER_DIR" "$state" || die "PEER_DIR=$PEER_DIR: cannot be made"
  [[ -O $PEER_DIR ]] || die "PEER_DIR=$PEER_DIR: belongs to $(stat -c %U "$PEER_DIR")"
  chmod 0711 "$PEER_DIR"
  become "$pool_user"
  "${as[@]}" test -x "$PEER_DIR/." || die "PEER_DIR=$PEER_DIR: user $pool_user cannot reach it (a folder above it is private)"
  # The service's own query without its comments, and the one that it makes from its model.
  mkdir -p "$PEER_DIR/sql"
  sed '/^ *--/d' "$project/sql/queries/agents.sql" >"$PEER_DIR/sql/agents.sql"
  cp -f "$peers/agents_with_orm.sql" "$PEER_DIR/sql/"
  # Its temporary files.
  mkdir -p "$PEER_DIR/tmp" "$PEER_DIR/app"
  [[ $EUID -ne 0 ]] || chown "$pool_user:" "$PEER_DIR/tmp"
}

# Runs COMMAND as component NAME in PEER_DIR/app, as USER (empty: whoever runs this), in a session of its own, with a clean environment and
# the additional variables of the array `variables`; its output goes to PEER_DIR/NAME.log.
variables=()
launch() { # NAME USER COMMAND…
  local name=$1
  as=()
  : >"$PEER_DIR/$name.log"
  if [[ -n $2 && $EUID -eq 0 ]]; then
    become "$2"
    # php-fpm opens it again.
    chown "$2:" "$PEER_DIR/$name.log"
  fi
  shift 2
  (
    cd "$PEER_DIR/app"
    exec setsid "${as[@]}" env -i PATH="$PATH" HOME=/nonexistent LC_ALL=C.UTF-8 TMPDIR="$PEER_DIR/tmp" PGHOST="$PGHOST" PGPORT="$PGPORT" \
      PGUSER="$PGUSER" PGDATABASE="$PGDATABASE" "${variables[@]}" "$@"
  ) >>"$PEER_DIR/$name.log" 2>&1 </dev/null &
  record "$name" "$!" || die "$name has ended at once: $(tail -n 5 "$PEER_DIR/$name.log")"
  printf '%s %s\n' "$name" "$!" >>"$PEER_DIR/components"
}

# Sets `members` to the running processes of the session that NAME began, its leader dead or not. The folder keeps a session apart that
# belongs to somebody else's process with the pid of a dead leader.
peer_members() { # NAME
  local p dir
  members=()
  recalled "$1" || return 0
  local leader=$pid since=$started
  if read_stat "$leader" && [[ ${stat[19]} != "$since" ]]; then return 0; fi
  for p in /proc/[0-9]*; do
    p=${p#/proc/}
    read_stat "$p" || continue
    [[ ${stat[3]} == "$leader" && ${stat[0]} != Z && ${stat[0]} != X ]] || continue
    dir=$(readlink "/proc/$p/cwd" 2>/dev/null || true)
    [[ "$dir/" != "$PEER_DIR"/* ]] || members+=("$p")
  done
  return 0
}

# Ends what `up` has recorded, the front first, and what is left of it when a root process was killed.
peer_end() {
  local name
  for name in nginx app; do
    [[ -e $state/$name ]] || continue
    end_leader "$name" TERM 10 || end_leader "$name" KILL 5 || true
    end_members 5 peer_members "$name"
    rm -f "$state/$name"
  done
  find "$PEER_DIR" -maxdepth 2 -type s -delete 2>/dev/null || true
  rm -f "$PEER_DIR/components" "$PEER_DIR"/*.pid
}

# Undoes an `up` that did not get to its end.
peer_undo() {
  local status=$?
  trap '' INT TERM HUP
  trap - EXIT
  peer_end
  exit "$status"
}

# Do all components run that were launched?
peer_lives() {
  local name
  for name in nginx app; do
    [[ ! -e $state/$name ]] || alive "$name" || return 1
  done
}

peer_answers() {
  peer_lives || return 0 # nothing to wait for; the caller looks again
  [[ $(http_status "$(public_host)" "$PORT" /index || true) == 200 ]]
}

# `up` once its settings are there: calls `start` (of the peer's up), which launches the components, and waits for the first answer.
peer_up() {
  local name log
  if [[ -e $PEER_DIR/components ]]; then
    for name in nginx app; do
      ! alive "$name" || die "runs already in $PEER_DIR: $here/down ends it"
    done
    say 'an earlier run was not ended: ending what is left of it'
  fi
  peer_end
  ! find_port_holder "$PORT" || die "PORT=$PORT: the port is taken by $holder"
  raise_file_limit
  rm -f "$PEER_DIR"/*.log
  trap peer_undo EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  start
  if await 30 peer_answers && peer_lives; then
    trap - EXIT INT TERM HUP
    return 0
  fi
  for log in "$PEER_DIR"/*.log; do sed "s|^|$(basename "$log"): |" "$log" | tail -n 12 >&2; done
  die "does not answer GET http://$(public_host):$PORT/index with 200 within 30 s (its logs are above)"
}

peer_down() {
  find_peer_dir
  [[ -d $state ]] || return 0
  [[ -O $PEER_DIR ]] || die "PEER_DIR=$PEER_DIR: belongs to $(stat -c %U "$PEER_DIR")"
  peer_end
}

peer_url() {
  check_listen
  printf 'http://%s:%s\n' "$(public_host)" "$PORT"
}

# Is FORM one of this peer's?
check_form() { # FORM
  grep -qxF -- "${1:-}" "$here/forms" ||
    die "usage: $verb FORM, where FORM is one of: $(paste -s -d ' ' "$here/forms")"
}

# Python modules of Debian, and not of something that stands before it.
check_python() { # MODULE…
  local report
  [[ -x /usr/bin/python3 ]] || die "/usr/bin/python3 is missing: $here/install"
  report=$(
    cd /
    env -i PATH="$PATH" HOME=/nonexistent /usr/bin/python3 -B - "$@" 2>&1 <<'EOF'
import importlib, sys
for name in sys.argv[1:]:
    try:
        place = importlib.import_module(name).__file__
    except ImportError as error:
        sys.exit(f"{name} is missing ({error})")
    if not place.startswith("/usr/lib/python3/dist-packages/"):
        sys.exit(f"{name} comes from {place}, not from Debian's package")
EOF
  ) || die "$report: $here/install installs what is missing"
}

install_packages() { # LIST…
  say "Debian packages: $*"
  "$project/deploy/local/packages" "$@"
}
