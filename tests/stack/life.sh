#!/bin/bash
# The life of stacks: start, stop, run, what ends them, and what a crash leaves to the next.
# shellcheck source=tests/stack/lib.bash
. "$(dirname "$0")/lib.bash"

free_ports
one=(PORT="$port" ADMIN_PORT="$admin" WORKERS=2 RUN_DIR="$scratch/one")
one_port=$port
dir=$scratch/one

check 'stop where nothing runs' make_ stop "${one[@]}"
check 'status where nothing runs' refused 'not running' status "${one[@]}"
check 'start' make_ start "${one[@]}"
check 'start says where' grep -q "^ready: http://127.0.0.1:$port/index$" "$scratch/out"
check 'it serves the fifty agents' serves_agents "$port"
check 'seed.sql is the data of agents.csv' cmp -s \
  <("$pg_bin/psql" -X -h "$dir/pg" -U postgres -d benchmarks -c "COPY (SELECT * FROM agentfeatures ORDER BY id) TO STDOUT (FORMAT csv, HEADER)" | tr -d '"') \
  <(tr -d '"' <tests/data/agents.csv)
check 'status' make_ status "${one[@]}"
check 'status counts the workers' grep -q '2 workers' "$scratch/out"
check 'start again finds it running' make_ start "${one[@]}"
check 'start with other settings is refused' grep -q 'make stop' \
  <(make --no-print-directory start "${one[@]}" WORKERS=3 2>&1 </dev/null)
sockets_are_private() {
  [[ $(stat -c %a "$dir/pool.sock") == 660 && $(stat -c %a "$dir/pgdata") == 700 && $(stat -c %a "$dir/pg") == 750 ]]
}
check 'sockets and data are private' sockets_are_private
unprivileged() {
  local p
  [[ $EUID -eq 0 ]] || return 0
  for p in $(processes_in "$dir"); do
    [[ $(awk '/^Uid:/ { print $2 }' "/proc/$p/status") -ne 0 || $p == "$(recorded "$dir" nginx)" ]] || return 1
  done
}
check 'nothing but the master of nginx is root' unprivileged
pg_has_no_port() { ! grep -q 'TCP\|127.0.0.1' "$dir/postgres.log"; }
check 'PostgreSQL listens on its socket only' pg_has_no_port

# The port is taken now.
free_ports
port_is_taken() {
  ! make_ start PORT="$one_port" ADMIN_PORT="$admin" RUN_DIR="$scratch/three" && grep -q "PORT=$one_port.*taken by.*nginx" "$scratch/out" &&
    nothing_runs "$scratch/three"
}
check 'a port taken is named with its holder' port_is_taken
two=(PORT="$port" ADMIN_PORT="$admin" WORKERS=2 RUN_DIR="$scratch/two")
check 'a second stack on another port' make_ start "${two[@]}"
check 'both serve' serves_agents "$port"
check 'both serve, the first too' serves_agents "$one_port"
check 'stop the second' make_ stop "${two[@]}"
check 'nothing of it runs' nothing_runs "$scratch/two"
check 'the first still serves' serves_agents "$one_port"

# kill -9 of everything, then of half.
mapfile -t all < <(processes_in "$dir")
kill -s KILL "${all[@]}"
await 20 nothing_runs "$dir"
check 'start after kill -9 of all' make_ start "${one[@]}"
check 'it serves after that' serves_agents "$one_port"
kill -s KILL "$(recorded "$dir" pool)" "$(recorded "$dir" nginx)" "$(recorded "$dir" postgres)"
check 'start after kill -9 of the masters' make_ start "${one[@]}"
check 'it serves after that, too' serves_agents "$one_port"
no_strays() { [[ $(processes_in "$dir/pool" | wc -l) -eq 3 ]]; }
check 'no worker of before is left' no_strays
check 'stop' make_ stop "${one[@]}"
check 'no process is left' nothing_runs "$dir"
check 'no socket and no pid file is left' no_sockets "$dir"
check 'stop again' make_ stop "${one[@]}"
echo garbage >"$dir/pgdata/global/pg_control"
check 'start on a broken cluster makes it anew' make_ start "${one[@]}"
check 'it serves on that' serves_agents "$one_port"
check 'stop that' make_ stop "${one[@]}"

# run: everything that ends it.
for signal in TERM INT HUP; do
  check "run is ready ($signal)" run_in_background "$scratch/run" "${one[@]}"
  cp "$scratch/run" "$scratch/out"
  kill -s "$signal" "$make_pid"
  check "$signal ends make run" await 60 ended "$make_pid"
  check "$signal leaves no process" nothing_runs "$dir"
  check "$signal leaves no socket" no_sockets "$dir"
done
for part in pool postgres nginx; do
  run_in_background "$scratch/run" "${one[@]}" || true
  kill -s KILL "$(recorded "$dir" "$part")"
  check "run ends when $part is killed" await 60 ended "$make_pid"
  check "and says so ($part)" grep -q "$part has ended by itself" "$scratch/run"
  check "and leaves nothing ($part)" nothing_runs "$dir"
done
run_in_background "$scratch/run" "${one[@]}" || true
check 'a second run beside it is refused' grep -q 'make stop' <(make --no-print-directory run "${one[@]}" 2>&1 </dev/null)
kill -s KILL "$(recorded "$dir" run)" "$make_pid"
wait "$make_pid" 2>/dev/null || true
check 'the stack of a killed run still serves' serves_agents "$one_port"
check 'run after kill -9 of run' run_in_background "$scratch/run" "${one[@]}"
cp "$scratch/run" "$scratch/out"
check 'it serves after kill -9 of run' serves_agents "$one_port"
check 'stop ends a run from elsewhere' make_ stop "${one[@]}"
check 'make run has ended' await 30 ended "$make_pid"

# A reader of its output that goes away at the first line.
{ make --no-print-directory run "${one[@]}" 2>&1 </dev/null || true; } | head -n 1 >/dev/null &
background+=("$!")
check 'run without a reader serves' await 90 serves_agents "$one_port"
check 'and is told to end' kill -s TERM "$(recorded "$dir" run)"
check 'and leaves nothing' await 60 nothing_runs "$dir"

# A start that was killed between starting a part and recording it.
check 'start, for that' make_ start "${one[@]}"
rm -f "$dir/state/pool" "$dir/state/nginx" "$dir/state/postgres"
check 'stop finds what nobody has recorded' make_ stop "${one[@]}"
check 'and ends it' nothing_runs "$dir"

# Two makes at once in a folder where nothing is built.
mkdir "$scratch/clone"
cp -r Makefile src nginx sql tests bench deploy "$scratch/clone/"
built_twice() {
  make -C "$scratch/clone" --no-print-directory build SANITIZE= >"$scratch/first" 2>&1 </dev/null &
  local first=$!
  make -C "$scratch/clone" --no-print-directory build SANITIZE= >"$scratch/out" 2>&1 </dev/null || return 1
  wait "$first" && "$scratch/clone/build/agents-fcgi" --version >>"$scratch/out"
}
check 'two makes at once build' built_twice
check 'nothing is left at the end' nothing_runs "$scratch"
