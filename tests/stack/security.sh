#!/bin/bash
# What deploy/SECURITY.md says of users, modes and the database's password, where no other test shows it: who reaches which socket and file of a stack, and
# where a password is to be found that the server takes at first, and then does not any more.
# shellcheck source=tests/stack/lib.bash
. "$(dirname "$0")/lib.bash"

WORKER=${WORKER:-$([[ -n ${SANITIZE:-} ]] && echo build/san/agents-fcgi || echo build/agents-fcgi)}
# Whoever starts the stack may have cores of their own.
ulimit -Sc "$(ulimit -Hc)"

# Another stack's server stands for the database elsewhere. Every password has this in it, which nothing else on the machine has.
secret=xyzzy-$$-$RANDOM$RANDOM
server=$scratch/server client=$scratch/client
free_ports
server_port=$port server_admin=$admin
make_ start PORT="$port" ADMIN_PORT="$admin" WORKERS=1 LISTEN=127.0.0.2 RUN_DIR="$server" || {
  not_ok 'the server of these tests starts'
  exit 1
}
sql() { "$pg_bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$server/pg" -U postgres -d benchmarks; }
sed -i '1i local all reader scram-sha-256' "$server/pgdata/pg_hba.conf"
sql >/dev/null <<END
CREATE ROLE reader LOGIN PASSWORD '$secret@first';
GRANT SELECT ON agentfeatures, agent_login_status TO reader;
SELECT pg_reload_conf();
END
url="postgresql://reader:$secret%40first@/benchmarks?host=$server/pg"
free_ports
starts() {
  DATABASE_URL=$url make_ start PORT="$port" ADMIN_PORT="$admin" WORKERS=2 ACCESS_LOG=on OPTIONS=--request-timeout=1s RUN_DIR="$client"
}
check 'start with a password' starts
check 'it serves' serves_agents "$port"
# While it upgrades, too; what follows is of the workers that come of it.
gcc -shared -fPIC -o "$scratch/words.so" tests/stack/words.c
upgrades() {
  WORDS=$scratch/words LD_PRELOAD=$scratch/words.so PORT=$port ADMIN_PORT=$admin RUN_DIR=$client deploy/local/upgrade "$WORKER" >"$scratch/out" 2>&1 </dev/null
}
check 'upgrade' upgrades
check 'the programs that an upgrade starts were seen' grep -q '^timeout -k .* --check$' "$scratch/words"
in_no_words() { ! grep -F -- "$secret" "$scratch/words" >"$scratch/out"; }
check 'the password is in no command line of an upgrade' in_no_words
pool=$(processes_in "$client/pool")

# --- who listens where ----------------------------------------------------------------------------------------------------------------

listens_at_only() { # ADDRESSES PORT: hexadecimal, as the kernel has them
  local found
  found=$(awk -v port="$(printf ':%04X' "$2")" '$4 == "0A" && substr($2, length($2) - 4) == port { print substr($2, 1, length($2) - 5) }' \
    /proc/net/tcp /proc/net/tcp6 | tr '\n' ' ')
  [[ ${found% } == "$1" ]]
}
check 'the service is on 127.0.0.1 by default' listens_at_only 0100007F "$port"
check 'elsewhere only where LISTEN says' listens_at_only 0200007F "$server_port"
check 'the admin port is on 127.0.0.1 even then' listens_at_only 0100007F "$server_admin"

# --- users and modes ------------------------------------------------------------------------------------------------------------------

if [[ $EUID -eq 0 ]]; then
  users() {
    local p
    for p in $(processes_in "$1"); do
      printf '%s %s\n' "$(basename "$(readlink "/proc/$p/exe")")" "$(id -nu "$(awk '/^Uid:/ { print $2 }' "/proc/$p/status")")"
    done | sort -u >"$scratch/users"
    diff - "$scratch/users" >"$scratch/out"
  }
  check 'each part has its user' users "$server" <<'END'
agents-fcgi nobody
multiwatch nobody
nginx root
nginx www-data
postgres postgres
END
  # Nothing of root's is left in real, effective, saved and other groups, or in capabilities.
  dropped() {
    local p
    for p in $(processes_in "$server"); do
      [[ $p != "$(recorded "$server" nginx)" ]] || continue
      awk '/^(Uid|Gid|Groups):/ { for (i = 2; i <= NF; i++) if ($i == 0) exit 1 } /^Cap(Prm|Eff):/ && $2 !~ /^0+$/ { exit 1 }' "/proc/$p/status" || return 1
    done
  }
  check 'what is not root has nothing left of root' dropped

  can() { # connect|read PATH USER
    local as=(setpriv "--reuid=$3" "--regid=$(id -g "$3")" --init-groups --)
    case $1 in
      connect) "${as[@]}" python3 -IS -c 'import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])' "$2" 2>/dev/null ;;
      read) "${as[@]}" cat "$2" >/dev/null 2>&1 ;;
    esac
  }
  # Of the stack's users and one who has no part in it.
  only() { # connect|read PATH USERS…
    local user
    [[ -e $2 ]] || return 1
    for user in www-data nobody postgres daemon; do
      if [[ " ${*:3} " == *" $user "* ]]; then
        can "$1" "$2" "$user" || { echo "$user cannot $1 $2" >"$scratch/out" && return 1; }
      elif can "$1" "$2" "$user"; then
        echo "$user can $1 $2" >"$scratch/out"
        return 1
      fi
    done
  }
  check 'the pool takes connections of nginx and its own user only' only connect "$client/pool.sock" www-data nobody
  check 'PostgreSQL takes connections of the workers and its own user only' only connect "$server/pg/.s.PGSQL.5432" nobody postgres
  check 'the scoreboard is for the workers only' only read "$client/board/scoreboard" nobody
  check 'the environment of a worker is for its user only' only read "/proc/${pool##*$'\n'}/environ" nobody
  for file in worker.log nginx-error.log access.log nginx/nginx.conf state/fingerprint; do
    check "nobody but root reads $file" only read "$client/$file"
  done
fi
# What is not below a folder that keeps strangers out, by mode and name.
open_to_all() { (cd "$1" && find . -mindepth 1 -type d ! -perm -001 -prune -o ! -type l -perm /007 -printf '%m %p\n' | sort); }
nothing_more_is_open() {
  open_to_all "$1" >"$scratch/open"
  diff - "$scratch/open" >"$scratch/out"
}
for dir in "$server" "$client"; do
  check "strangers reach the program of ${dir##*/} and no data" nothing_more_is_open "$dir" <<'END'
644 ./.agents-fcgi
711 ./tmp
755 ./agents-fcgi
END
done
not_listed() { [[ $(stat -c %a "$client") == $([[ $EUID -eq 0 ]] && echo 711 || echo 700) ]]; }
check 'strangers do not list RUN_DIR' not_listed

# --- the password -----------------------------------------------------------------------------------------------------------------------

holders() { for p in $(processes_in "$client"); do ! grep -qsa -- "$secret" "/proc/$p/environ" || echo "$p"; done; }
only_the_pool_has_it() { [[ -n $pool && $(holders) == "$pool" ]]; }
check 'only the pool has the password in its environment' only_the_pool_has_it
no_cores() {
  local p
  for p in $pool; do grep -q '^Max core file size  *0 ' "/proc/$p/limits" || return 1; done
}
check 'no process of the pool writes a core' no_cores
check 'nor does the unit' grep -qx 'LimitCORE=0' deploy/systemd/agents-fcgi.service.in

# The workers' connections end, and the password is no longer right.
sql >/dev/null <<END
ALTER ROLE reader PASSWORD '$secret@second';
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader';
END
none_connected() { [[ $(echo "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader'" | sql) == 0 ]]; }
check 'the connections of the old password end' await 20 none_connected
seen=$scratch/seen
mkdir "$seen"
ask() { # PORT PATH FILE: head and body
  local fd
  exec {fd}<>"/dev/tcp/127.0.0.1/$1" || return 1
  printf 'GET %s HTTP/1.0\r\n\r\n' "$2" >&"$fd"
  cat <&"$fd" >"$seen/$3"
  exec {fd}>&-
}
tells_the_refusal() { ask "$admin" /status.json status.json && grep -q 'password authentication failed' "$seen/status.json"; }
check 'a password that has become wrong is told on the admin port' await 20 tells_the_refusal
for path in index agents agents_with_orm agent_logins nothing status.json; do ask "$port" "/$path" "public-$path"; done
for path in health/live health/ready metrics status status.json index; do ask "$admin" "/$path" "admin-${path/\//-}"; done
refused_in_public() { grep -q '^HTTP/1.1 503 ' "$seen/public-agents" && grep -q '"status": 503' "$seen/public-agents"; }
check 'in public it is a 503' refused_in_public
silent() { ! grep -iE 'reader|benchmarks|password|sqlstate|libpq|postgres|/pg' "$seen"/public-* >"$scratch/out"; }
check 'that names no role, host or database' silent
complete() { grep -q '^agents_fcgi_build_info' "$seen/admin-metrics" && grep -q '<html' "$seen/admin-status" && grep -q '"status": 404' "$seen/public-status.json"; }
check 'what is asked for was seen' complete
judged() { ! AGENTS_FCGI_DATABASE=$url "$WORKER" --check >"$seen/check" 2>&1 </dev/null && grep -q 'password authentication failed' "$seen/check"; }
check '--check tells it too' judged
printed() { AGENTS_FCGI_DATABASE=$url "$WORKER" --print-config >"$seen/config" 2>&1 </dev/null && grep -qF '********' "$seen/config"; }
check '--print-config hides it' printed
# By what grep says, since it may meet what has gone meanwhile, or cannot be read as a file.
unfound() {
  grep -rlsa -D skip -- "$secret" "$@" >"$scratch/out" || true
  [[ ! -s $scratch/out ]]
}
nowhere() { unfound "$seen" "$client"; }
check 'the password is in no answer, log, file or output' nowhere
check 'the password is in no process title' unfound /proc/[0-9]*/cmdline

# --- libfcgi --------------------------------------------------------------------------------------------------------------------------

mkdir -m 0755 "$scratch/bin"
cat >"$scratch/bin/dpkg-query" <<'END'
#!/bin/sh
/usr/bin/dpkg-query "$@" | sed 's/^\(libfcgi-dev [^ ]*\) .*/\1 2.4.2-2/'
END
printf '#!/bin/sh\nexit 1\n' >"$scratch/bin/sudo"
chmod 0755 "$scratch/bin/"*
packages() { # PATH: as somebody who cannot install
  local as=()
  [[ $EUID -ne 0 ]] || as=(setpriv --reuid=nobody --regid=nogroup --clear-groups --)
  "${as[@]}" env PATH="$1" bash -s -- build <deploy/local/packages >"$scratch/out" 2>&1
}
check 'the libfcgi of this system is taken' packages "$PATH"
too_old() { ! packages "$scratch/bin:$PATH" && grep -q 'libfcgi-dev 2.4.2-2 has CVE-2025-23016; at least 2.4.2-2+deb12u1 is needed' "$scratch/out"; }
check 'one without the fixes is refused' too_old
