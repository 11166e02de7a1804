# shellcheck shell=bash
# stack.sh: the whole stack, up and down. Sourced by start, run, stop and status.
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=deploy/local/settings.sh
. "$here/settings.sh"
# shellcheck source=deploy/local/process.sh
. "$here/process.sh"
# shellcheck source=deploy/local/postgres.sh
. "$here/postgres.sh"
# shellcheck source=deploy/local/pool.sh
. "$here/pool.sh"

daemons() {
  [[ -n $DATABASE_URL ]] || echo postgres
  echo pool
  echo nginx
}

all_alive() {
  local name
  for name in $(daemons); do alive "$name" || return 1; done
}

any_alive() {
  local name
  for name in postgres pool nginx; do ! alive "$name" || return 0; done
  return 1
}

# Also what nobody has recorded: the shell that started it may have been killed before it could.
anything_runs() {
  local finder
  if any_alive; then return 0; fi
  for finder in pg_leftovers pool_members nginx_members; do
    "$finder"
    [[ ${#members[@]} -eq 0 ]] || return 0
  done
  return 1
}

# What is being asked for, without secrets in it.
fingerprint() {
  printf '%s\n' "$PORT" "$ADMIN_PORT" "$LISTEN" "$WORKERS" "${OPTIONS:-}" "$ACCESS_LOG" "$DATABASE_URL" "$DB_ROLE" "$DB_NAME" |
    cat - "$WORKER" | sha256sum
}

index_url() {
  local host
  host=$(public_host)
  if [[ $host == *:* ]]; then host="[$host]"; fi
  printf '%s' "http://$host:$PORT/index"
}

ready_line() { printf '%s\n' "ready: $(index_url)" 2>/dev/null || true; }

# From the front to the back, each with its own deadline. Also ends what a crashed run has left.
tear_down() {
  nginx_stop
  pool_stop
  pg_stop
  rm -f "$state/fingerprint" "$state/run"
}

# Undoes a start that did not get to its end.
undo() {
  local status=$?
  trap '' INT TERM HUP
  trap - EXIT
  tear_down
  exit "$status"
}

# Everything from a checked environment to a stack that answers; `run` or `start` says who asks. With `start` it may be that the
# same stack runs already.
bring_up() {
  local port
  cd "$project"
  check_settings
  WORKER=${WORKER:-build/agents-fcgi}
  [[ -x $WORKER ]] || die "$WORKER is not built: make build"
  find_run_dir make
  ask_worker
  make_run_dir
  take_lock
  if any_alive; then
    if all_alive && { [[ ! -e $state/run ]] || alive run; }; then
      if [[ $1 == start && -e $state/fingerprint && $(<"$state/fingerprint") == "$(fingerprint)" ]]; then
        say "runs already"
        drop_lock
        return 0
      fi
      die "a stack runs in $RUN_DIR already, started by make $([[ -e $state/run ]] && echo run || echo start):" \
        "end it with make stop PORT=$PORT RUN_DIR=$RUN_DIR, or choose another PORT"
    fi
  fi
  # Even when no master is alive its children may be, so always.
  if [[ -e $state/nginx || -e $state/pool || -e $state/postgres ]] || anything_runs; then
    say "an earlier run in $RUN_DIR was not stopped: ending what is left of it"
    tear_down
  fi
  for port in PORT ADMIN_PORT; do
    if find_port_holder "${!port}"; then
      die "$port=${!port}: the port is taken by $holder; end that, or choose another, as in make $1 $port=$((${!port} + 10))"
    fi
  done
  check_space 24
  raise_file_limit
  trap undo EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  [[ $1 != run ]] || record run $$
  place_binary
  if [[ -z $DATABASE_URL ]]; then
    # Each worker may hold a connection that the server has not noticed to be closed beside its new one.
    pg_connections=$((2 * WORKERS * db_connections + 20))
    echo "$pg_connections" >"$state/connections"
    pg_start
  fi
  echo "$request_timeout_s" >"$state/timeout"
  echo "$ADMIN_PORT $LISTEN" >"$state/addresses" # for status
  check_worker
  say "starting $WORKERS workers and nginx"
  pool_launch
  nginx_launch
  wait_ready
  fingerprint >"$state/fingerprint"
  trap - EXIT INT TERM HUP
  drop_lock
}

wait_ready() {
  local host name
  host=$(public_host)
  await 60 answers "$host" "$PORT" /index && await 60 answers 127.0.0.1 "$ADMIN_PORT" /health/ready && all_alive && return 0
  for name in $(daemons); do alive "$name" || complain "$name has ended"; done
  tail -n 15 "$RUN_DIR/nginx-error.log" "$RUN_DIR/worker.log" >&2 || true
  die "the stack does not answer on $(index_url): see the logs above, in $RUN_DIR"
}
