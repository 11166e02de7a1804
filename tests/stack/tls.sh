#!/bin/bash
# A database elsewhere over TCP and TLS, the first of several hosts being dead: whatever libpq takes, DATABASE_URL takes.
# shellcheck source=tests/stack/lib.bash
. "$(dirname "$0")/lib.bash"

server=$scratch/server
as=()
mkdir -m 0755 "$server"
if [[ $EUID -eq 0 ]]; then
  as=(setpriv --reuid=postgres --regid=postgres --init-groups --)
  chown postgres: "$server"
fi
free_ports
tcp=$port
postgres_ready() { "$pg_bin/pg_isready" -q -h "$server" -p "$tcp"; }
starts() {
  # shellcheck disable=SC2016 # for the inner shell
  (cd "$server" && exec env -i PATH="$PATH" LC_ALL=C.UTF-8 "${as[@]}" bash -eu -o pipefail -c '
    openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 -keyout key.pem -out cert.pem
    chmod 0600 key.pem
    "$1/initdb" -D data -U postgres -E UTF8 --locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256 --no-sync --no-instructions
    printf "hostssl all all 127.0.0.1/32 scram-sha-256\nlocal all all trust\n" >data/pg_hba.conf' _ "$pg_bin" >>"$scratch/out" 2>&1)
  (cd "$server" && exec env -i PATH="$PATH" "${as[@]}" "$pg_bin/postgres" -D data -p "$tcp" -k "$server" -c listen_addresses=127.0.0.1 \
    -c dynamic_shared_memory_type=mmap -c ssl=on -c ssl_cert_file="$server/cert.pem" -c ssl_key_file="$server/key.pem" \
    >>"$scratch/out" 2>&1) &
  background+=("$!")
  await 60 postgres_ready
}
sql() { "$pg_bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$server" -p "$tcp" -U postgres -d postgres; }

check 'a server with TLS starts' starts
echo "CREATE ROLE owner LOGIN PASSWORD 'xyzzy'; CREATE DATABASE elsewhere OWNER owner" | sql
free_ports
# Nobody listens on port 1.
export DATABASE_URL="postgresql://owner:xyzzy@127.0.0.1:1,127.0.0.1:$tcp/elsewhere?sslmode=require&target_session_attrs=read-write"
stage=$scratch/client
target=(PORT="$port" ADMIN_PORT="$admin" WORKERS=2 RUN_DIR="$scratch/client" OPTIONS='--share=off')
check 'db-load through TLS' make_ db-load
check 'start' make_ start "${target[@]}"
check 'it serves' serves_agents "$port"
encrypted() { [[ $(echo "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'owner'" | sql) == t ]]; }
check 'its connections are encrypted' encrypted
# Many answers at once are larger than a TLS record.
many() {
  local i pids=()
  for i in {1..40}; do
    serves_agents "$port" &
    pids+=("$!")
  done
  for i in "${pids[@]}"; do wait "$i" || return 1; done
}
check 'it serves many at once' many
check 'stop' make_ stop "${target[@]}"
check 'sslmode the server refuses' refused 'DATABASE_URL|no encryption' start "${target[@]}" \
  DATABASE_URL="postgresql://owner:xyzzy@127.0.0.1:$tcp/elsewhere?sslmode=disable"
