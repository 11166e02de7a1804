# shellcheck shell=bash
# postgres.sh: the embedded PostgreSQL. It listens on a Unix socket in RUN_DIR/pg only, which its own user, the pool's and root can
# reach. Its data are the seed's, so it may lose them with the machine (fsync is off), and is made anew when it is broken.

pg_data() { printf '%s/pgdata' "$RUN_DIR"; }
pg_conninfo() { printf 'host=%s/pg user=%s dbname=%s' "$RUN_DIR" "$DB_ROLE" "$DB_NAME"; }

# SQL from stdin as superuser, nothing of the caller's environment or ~/.psqlrc in between.
pg_sql() { # DATABASE
  env -i PATH="$PATH" "$pg_bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$RUN_DIR/pg" -p 5432 -U postgres -d "$1"
}

# What the cluster was made from; another text makes another cluster.
pg_source() { cat "$project/sql/schema.sql" "$project/sql/seed.sql" <(echo "15 $DB_ROLE $DB_NAME") | sha256sum; }

pg_leftovers() { find_by_directory "$(pg_data)" "$pg_bin/postgres"; }

# A cluster on disk, not loaded yet.
pg_make() {
  local data
  data=$(pg_data)
  say "making a PostgreSQL cluster in $data"
  rm -rf -- "$data" "$RUN_DIR/pg" "$state/loaded"
  check_space 100
  mkdir -m 0700 "$data"
  mkdir -m 0750 "$RUN_DIR/pg"
  if [[ $EUID -eq 0 ]]; then
    chown "$pg_user:" "$data"
    chown "$pg_user:$(id -g "$pool_user")" "$RUN_DIR/pg"
  fi
  become "$pg_user"
  (
    cd "$data"
    env -i PATH="$PATH" LC_ALL=C.UTF-8 "${as[@]}" "$pg_bin/initdb" -D "$data" -U postgres -E UTF8 --locale=C.UTF-8 --wal-segsize=1 \
      --auth-local=trust --auth-host=reject --no-sync --no-instructions
  ) >"$RUN_DIR/initdb.log" 2>&1 </dev/null || {
    tail -n 20 "$RUN_DIR/initdb.log" >&2
    die "initdb failed in $data: see above, or $RUN_DIR/initdb.log"
  }
  # The folder of the socket keeps strangers out; within it only the superuser is told apart.
  printf '%s\n' 'local all postgres peer map=superuser' 'local all all trust' >"$data/pg_hba.conf"
  printf 'superuser %s postgres\n' "$pg_user" root >"$data/pg_ident.conf"
  cat >>"$data/postgresql.conf" <<EOF

# deploy/local
listen_addresses = ''
unix_socket_directories = '$RUN_DIR/pg'
dynamic_shared_memory_type = mmap
fsync = off
synchronous_commit = off
full_page_writes = off
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d '
EOF
  if [[ -e ${pg_bin%/bin}/lib/pg_stat_statements.so ]]; then
    echo "shared_preload_libraries = 'pg_stat_statements'" >>"$data/postgresql.conf"
  fi
}

pg_answers() {
  alive postgres || return 0 # nothing to wait for; the caller looks again
  env -i PATH="$PATH" "$pg_bin/pg_isready" -q -h "$RUN_DIR/pg" -p 5432 -t 2
}

# Starts the server on an existing cluster. False, with the reason in postgres.log, when it does not come up.
pg_launch() {
  local data
  data=$(pg_data)
  pg_forget_stale_locks
  : >"$RUN_DIR/postgres.log"
  become "$pg_user"
  (
    unset "${!PG@}" "${!AGENTS_FCGI_@}"
    cd "$data"
    exec setsid "${as[@]}" "$pg_bin/postgres" -D "$data" -c "max_connections=$pg_connections"
  ) >>"$RUN_DIR/postgres.log" 2>&1 </dev/null {lock}>&- &
  record postgres "$!" && await 60 pg_answers && alive postgres
}

# A lock file whose pid now belongs to another process would keep the server from starting. The caller has made sure that no
# server runs on this cluster.
pg_forget_stale_locks() {
  local p=
  { read -r p <"$(pg_data)/postmaster.pid"; } 2>/dev/null || true
  if [[ -n $p && -e /proc/$p ]]; then rm -f "$(pg_data)/postmaster.pid"; fi
  rm -f "$RUN_DIR/pg/.s.PGSQL.5432" "$RUN_DIR/pg/.s.PGSQL.5432.lock"
}

pg_load() {
  local error
  [[ ! -e $state/loaded ]] || return 0
  say "loading schema and seed"
  pg_sql postgres >>"$RUN_DIR/postgres.log" 2>&1 <<EOF || { pg_complain; die "cannot create role and database"; }
CREATE ROLE $DB_ROLE LOGIN;
CREATE DATABASE $DB_NAME OWNER $DB_ROLE;
EOF
  if [[ -e ${pg_bin%/bin}/lib/pg_stat_statements.so ]]; then
    echo 'CREATE EXTENSION pg_stat_statements' | pg_sql "$DB_NAME" >>"$RUN_DIR/postgres.log" 2>&1 || true
  fi
  error=$(DATABASE_URL=$(pg_conninfo) "$project/build/db-load" "$project/sql/schema.sql" "$project/sql/seed.sql" 2>&1) ||
    die "$error"
  pg_source >"$state/loaded.new"
  mv -f "$state/loaded.new" "$state/loaded"
}

pg_complain() {
  tail -n 15 "$RUN_DIR/postgres.log" >&2 || true
}

# Cluster, server and data; all of it may be there already. $pg_connections must be set.
pg_start() {
  if [[ -e $state/loaded && $(<"$state/loaded") != "$(pg_source)" ]]; then
    say "sql/, DB_ROLE or DB_NAME has changed since the cluster was made"
    rm -f "$state/loaded"
  fi
  # Without that file an earlier run was stopped half-way.
  [[ -e $state/loaded && -e $(pg_data)/PG_VERSION ]] || pg_make
  check_space 16
  if ! pg_launch; then
    pg_complain
    pg_stop
    check_space 16
    complain "the cluster in $(pg_data) does not start (see above); making it anew"
    pg_make
    pg_launch || {
      pg_complain
      die "PostgreSQL does not start: see above, or $RUN_DIR/postgres.log"
    }
  fi
  pg_load
}

# Fast shutdown, then immediate, then whatever is left of a killed server.
pg_stop() {
  end_leader postgres INT 30 || end_leader postgres QUIT 10 || end_leader postgres KILL 10 || true
  end_members 5 pg_leftovers
  rm -f "$state/postgres"
}
