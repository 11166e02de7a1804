#!/bin/bash
# DATABASE_URL: the stack only reads there, and the password is in no command line. db-load fills an empty database, once.
# shellcheck source=tests/stack/lib.bash
. "$(dirname "$0")/lib.bash"

# Another stack's server stands for the database elsewhere.
free_ports
make_ start PORT="$port" ADMIN_PORT="$admin" WORKERS=1 RUN_DIR="$scratch/server" || {
  not_ok 'the server of these tests starts'
  exit 1
}
server=$scratch/server
sql() { "$pg_bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$server/pg" -U postgres -d "${1:-postgres}"; }
sed -i '1i local all owner,reader scram-sha-256' "$server/pgdata/pg_hba.conf"
sql >/dev/null <<'EOF'
CREATE ROLE owner LOGIN PASSWORD 'xyzzy-owner';
CREATE ROLE reader LOGIN PASSWORD 'xyzzy-reader';
CREATE DATABASE elsewhere OWNER owner;
SELECT pg_reload_conf();
EOF
url() { printf 'postgresql://%s:%s@/elsewhere?host=%s/pg' "$1" "$2" "$server"; }
await 20 env DATABASE_URL="$(url owner wrong)" bash -c '! build/db-load /dev/null 2>&1 | grep -q "is empty"'

free_ports
stage=$scratch/client
target=(PORT="$port" ADMIN_PORT="$admin" WORKERS=2 RUN_DIR="$scratch/client")
with() { # URL COMMAND…
  DATABASE_URL=$1 "${@:2}"
}
check 'a database without the tables is refused' with "$(url owner xyzzy-owner)" refused 'DATABASE_URL|db-load' start "${target[@]}"
check 'db-load fills it' with "$(url owner xyzzy-owner)" make_ db-load
check 'db-load refuses where the tables exist' with "$(url owner xyzzy-owner)" refused 'agentfeatures|nothing was changed' db-load
fifty() { [[ $(echo 'SELECT count(*) FROM agentfeatures' | sql elsewhere) == 50 ]]; }
check 'and has changed nothing' fifty
check 'a wrong password is refused' with "$(url owner xyzzy-wrong)" refused 'password' start "${target[@]}"
unprinted() { ! grep -q xyzzy "$scratch/out"; }
check 'and not printed' unprinted

# Newer versions guard a dump with a random word.
dump() { "$pg_bin/pg_dump" -h "$server/pg" -U postgres elsewhere | grep -vE '^.(un)?restrict '; }
echo 'GRANT SELECT ON agentfeatures, agent_login_status TO reader' | sql elsewhere
dump >"$scratch/before"
for user in reader owner; do
  check "start on DATABASE_URL as $user" with "$(url $user xyzzy-$user)" make_ start "${target[@]}"
  check "it serves from there ($user)" serves_agents "$port"
  invisible() { ! grep -lsa "xyzzy-$user" /proc/[0-9]*/cmdline >>"$scratch/out"; }
  check "the password is in no command line ($user)" invisible
  no_cluster() { [[ ! -e $scratch/client/pgdata && ! -e $scratch/client/state/postgres ]]; }
  check "there is no cluster of its own ($user)" no_cluster
  unlogged() { ! grep -rqsa "xyzzy-$user" "$scratch/client"; }
  check "the password is in no file ($user)" unlogged
  check "stop leaves the database alone ($user)" with "$(url $user xyzzy-$user)" make_ stop "${target[@]}"
  check "nothing runs ($user)" nothing_runs "$scratch/client"
done
dump >"$scratch/after"
check 'nothing was written' cmp "$scratch/before" "$scratch/after"
check 'the server still runs' serves_agents "$(sed -n 's/.*listen 127.0.0.1:\([0-9]*\) default_server backlog.*/\1/p' "$server/nginx/agents-fcgi.conf")"
