# shellcheck shell=bash
# pool.sh: the pool of workers (spawn-fcgi, multiwatch) and nginx before it.

# The options as the worker understands them; sets request_timeout_ms and db_connections. A wrong option is told here.
ask_worker() {
  local config
  config=$(worker_environment && "$WORKER" "${options[@]}" --print-config </dev/null 2>&1) || {
    [[ -z $DATABASE_URL ]] || config=${config//AGENTS_FCGI_DATABASE/DATABASE_URL}
    die "the worker refuses its options: ${config//$'\n'/ }"
  }
  request_timeout_ms=$(sed -n 's/^request-timeout = \([0-9]*\)ms$/\1/p' <<<"$config")
  db_connections=$(sed -n 's/^db-connections = \([0-9]*\)$/\1/p' <<<"$config")
  [[ -n $request_timeout_ms && -n $db_connections ]] ||
    die "OPTIONS=${OPTIONS:-}: the worker does not start with them: ${config%%$'\n'*}"
  request_timeout_s=$(((request_timeout_ms + 999) / 1000))
}

# The worker's environment, for a subshell: the database and nothing of ours. PG… variables serve DATABASE_URL as they serve psql.
worker_environment() {
  # As in the unit: rows and the password would stand in a core file. prlimit --core=unlimited --pid=PID has one all the same.
  ulimit -Sc 0
  # libpq looks into its home for certificates, and takes one that it may not look into for an error.
  if [[ $EUID -eq 0 ]]; then
    HOME=$(getent passwd "$pool_user" | cut -d: -f6)
    export HOME
  fi
  if [[ -n $DATABASE_URL ]]; then
    export AGENTS_FCGI_DATABASE=$DATABASE_URL
  else
    unset "${!PG@}"
    AGENTS_FCGI_DATABASE=$(pg_conninfo)
    export AGENTS_FCGI_DATABASE
  fi
  if [[ -n ${SANITIZE:-} && -d $RUN_DIR/sanitizer ]]; then
    # A report must outlive the worker, which multiwatch replaces: tests/run looks for these files.
    export ASAN_OPTIONS="log_path=$RUN_DIR/sanitizer/report:abort_on_error=1:detect_leaks=${DETECT_LEAKS:-1}:detect_stack_use_after_return=1"
    export UBSAN_OPTIONS="log_path=$RUN_DIR/sanitizer/report:print_stacktrace=1" LSAN_OPTIONS="log_path=$RUN_DIR/sanitizer/report"
  fi
}

raise_file_limit() {
  local hard
  hard=$(ulimit -Hn)
  # Some programs walk all possible descriptors, and some systems allow a thousand million.
  if [[ $hard == unlimited ]] || ((hard > 262144)); then hard=262144; fi
  ((hard >= 512)) || die "the limit of open files is $hard, and 512 are the least that nginx and workers need: raise it (ulimit -Hn)"
  ulimit -Sn "$hard"
}

# Copies the worker to where the pool's user reaches it, when the clone may be below a private home. Sets `binary`.
place_binary() {
  local error
  # The sanitizers would make this folder themselves, as root.
  mkdir -p "$RUN_DIR/sanitizer"
  chmod 0700 "$RUN_DIR/sanitizer"
  [[ $EUID -ne 0 ]] || chown "$pool_user:" "$RUN_DIR/sanitizer"
  binary=$RUN_DIR/agents-fcgi
  cp -f -- "$WORKER" "$binary.new" || die "RUN_DIR=$RUN_DIR: no space left for the worker"
  chmod 0755 "$binary.new"
  mv -f "$binary.new" "$binary"
  become "$pool_user"
  error=$("${as[@]}" "$binary" --version 2>&1 </dev/null) && return 0
  # RUN_DIR may be mounted noexec, as /run is on some systems.
  rm -f "$binary"
  binary=$project/$WORKER
  "${as[@]}" "$binary" --version >/dev/null 2>&1 </dev/null ||
    die "user $pool_user can run the worker neither in $RUN_DIR (${error##*: }) nor in the clone (a folder above it is private);" \
      "choose another RUN_DIR, as in RUN_DIR=/var/tmp/agents-fcgi"
}

# The words that run a command behind a listening socket SOCKET that nginx's user may connect to.
behind_socket() {
  spawn=(/usr/bin/spawn-fcgi -n -s "$1" -b 4096 -M 0660)
  if [[ $EUID -eq 0 ]]; then
    spawn+=(-u "$pool_user" -g "$(id -gn "$pool_user")" -U "$pool_user" -G "$(id -gn "$web_user")")
  fi
}

# Options, socket and database, judged by the worker itself.
check_worker() {
  local report
  behind_socket "$RUN_DIR/check.sock"
  rm -f "$RUN_DIR/check.sock"
  report=$(worker_environment && "${spawn[@]}" -- "$binary" "${options[@]}" --check 2>&1 </dev/null {lock}>&-) || {
    rm -f "$RUN_DIR/check.sock"
    printf '%s\n' "$report" | grep -v '^ok' >&2 || true
    if [[ -n $DATABASE_URL ]]; then
      die "DATABASE_URL: the workers cannot use this database (above); the stack only reads it:" \
        "an empty one is filled with make db-load DATABASE_URL=…"
    fi
    die "the worker's own check failed (above)"
  }
  rm -f "$RUN_DIR/check.sock"
}

pool_launch() {
  rm -f "$pool_socket"
  mkdir -p "$RUN_DIR/pool" "$RUN_DIR/board"
  # In a folder of the workers' own, who make it; what an earlier pool has counted is not this one's.
  rm -f "$RUN_DIR/board/scoreboard"
  chmod 0700 "$RUN_DIR/board"
  [[ $EUID -ne 0 ]] || chown "$pool_user:" "$RUN_DIR/board"
  : >"$RUN_DIR/worker.log"
  behind_socket "$pool_socket"
  (
    worker_environment
    export AGENTS_FCGI_SCOREBOARD=$RUN_DIR/board/scoreboard
    cd "$RUN_DIR/pool"
    exec setsid "${spawn[@]}" -- /usr/bin/multiwatch -f "$WORKERS" -r 1000000 -t 100 -- "$binary" "${options[@]}"
  ) >>"$RUN_DIR/worker.log" 2>&1 </dev/null {lock}>&- &
  record pool "$!" && await 20 test -S "$pool_socket" && alive pool || {
    tail -n 15 "$RUN_DIR/worker.log" >&2
    die "the pool does not start: see above, or $RUN_DIR/worker.log"
  }
}

# The last are workers under valgrind (tests/run).
pool_members() {
  find_by_directory "$RUN_DIR/pool" "$RUN_DIR/agents-fcgi" /usr/bin/multiwatch /usr/bin/spawn-fcgi /usr/libexec/valgrind/memcheck-*
}

# Drain; a child forked just before can miss the signal, so twice; then kill. Also what a killed multiwatch left behind.
pool_stop() {
  local grace=$((${request_timeout_s:-60} + 2))
  end_leader pool TERM "$grace" || end_leader pool TERM 2 || true
  end_members 5 pool_members
  rm -f "$pool_socket" "$RUN_DIR/check.sock" "$state/pool"
}

nginx_members() { find_by_directory "$RUN_DIR" /usr/sbin/nginx; }

nginx_launch() {
  local files=(body fastcgi proxy scgi uwsgi)
  mkdir -p "${files[@]/#/$RUN_DIR/tmp/}" "$RUN_DIR/nginx"
  chmod 0711 "$RUN_DIR/tmp"
  (
    SOCKET=$pool_socket REQUEST_TIMEOUT_MS=$request_timeout_ms FILES=$(ulimit -n)
    USER_LINE=$([[ $EUID -ne 0 ]] || echo "user $web_user;")
    export RUN_DIR LISTEN PORT ADMIN_PORT ACCESS_LOG SOCKET REQUEST_TIMEOUT_MS FILES USER_LINE
    exec "$project/nginx/render" "$RUN_DIR/nginx" main
  )
  : >"$RUN_DIR/nginx-error.log"
  (
    unset "${!AGENTS_FCGI_@}" "${!PG@}"
    cd "$RUN_DIR"
    exec setsid /usr/sbin/nginx -p "$RUN_DIR" -e "$RUN_DIR/nginx-error.log" -c "$RUN_DIR/nginx/nginx.conf"
  ) >>"$RUN_DIR/nginx-error.log" 2>&1 </dev/null {lock}>&- &
  record nginx "$!" || true
}

# Lets answers under way finish, closes idle clients.
nginx_stop() {
  end_leader nginx QUIT $((${request_timeout_s:-60} + 3)) || end_leader nginx TERM 3 || true
  end_members 3 nginx_members
  rm -f "$RUN_DIR/nginx.pid" "$state/nginx"
}

# --- looking from outside -----------------------------------------------------------------------------------------------------

# GET PATH from 127.0.0.1:PORT (or where it listens) over bash's own sockets; prints the status code.
http_status() { # HOST PORT PATH
  local fd version='' code=''
  {
    exec {fd}<>"/dev/tcp/$1/$2" || return 1
    printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$3" >&"$fd" || true
    read -t 5 -r version code _ <&"$fd" || true
    exec {fd}>&-
  } 2>/dev/null
  [[ $version == HTTP/* ]] && printf '%s' "$code"
}

# The address at which this machine reaches what LISTEN names, without brackets.
public_host() {
  case $LISTEN in
    0.0.0.0) printf 127.0.0.1 ;;
    '[::]') printf ::1 ;;
    *) printf '%s' "${LISTEN//[][]/}" ;;
  esac
}

answers() { # HOST PORT PATH: 200, or a daemon has died and there is nothing to wait for
  alive nginx && alive pool || return 0
  [[ $(http_status "$1" "$2" "$3" || true) == 200 ]]
}

# Who listens on PORT where LISTEN would? Sets `holder`; false when nobody does.
find_port_holder() { # PORT
  local address status inode wanted file line a b c d
  printf -v wanted '%04X' "$1"
  holder=
  if [[ $LISTEN == *.* && $LISTEN != \[* ]]; then
    IFS=. read -r a b c d <<<"$LISTEN"
    printf -v line '%02X%02X%02X%02X' "$d" "$c" "$b" "$a"
  else
    line=any
  fi
  while read -r _ address _ status _ _ _ _ _ inode _; do
    [[ $status == 0A && ${address##*:} == "$wanted" ]] || continue
    case ${address%:*} in
      "$line" | 00000000 | 00000000000000000000000000000000) ;;
      *) [[ $line == any || $line == 00000000 ]] || continue ;;
    esac
    holder="another process"
    for file in /proc/[0-9]*/fd/*; do
      [[ $(readlink "$file" 2>/dev/null || true) == "socket:[$inode]" ]] || continue
      file=${file#/proc/}
      holder="process ${file%%/*} ($(<"/proc/${file%%/*}/comm"))"
      break
    done
    return 0
  done < <(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null)
  return 1
}
