#!/bin/bash
# peers.sh [FOLDER…]: the peers in bench/peers that are installed (their verb install does that), each in each of its forms, against a stack
# of the test's own. Prints `ok NAME` or `not ok NAME` and a closing count. Needs build/agents-fcgi and build/db-load.
# shellcheck source=tests/stack/lib.bash
. "$(dirname "$0")/../stack/lib.bash"

passed=0 failed=0
ok() {
  printf 'ok %s\n' "$1"
  passed=$((passed + 1))
}
not_ok() {
  printf 'not ok %s\n' "$1"
  sed 's/^/    /' "$scratch/out" 2>/dev/null || true
  failed=$((failed + 1))
}

end_peers() {
  trap '' INT TERM HUP
  local dir
  for dir in "$scratch"/peer-*/; do
    [[ ! -e $dir/state ]] || PEER_DIR=${dir%/} bench/peers/php-fpm/down >/dev/null 2>&1 || true
  done
}
# shellcheck disable=SC2154 # status is set there
trap 'status=$?; set +e; end_peers; (exit "$status"); clean_up' EXIT

stack=$scratch/stack
free_ports
# Its database has connections for 16 workers, so for several peers at once, too.
if ! RUN_DIR=$stack PORT=$port ADMIN_PORT=$admin WORKERS=16 deploy/local/start >"$scratch/out" 2>&1 </dev/null; then
  not_ok 'the stack whose database they read'
  exit 1
fi
database=(PGHOST="$stack/pg" PGPORT=5432 PGUSER=asterisk PGDATABASE=benchmarks)

# Python with the modules of the rig; its program comes from stdin.
rig() { env PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=bench /usr/bin/python3 - "$@" >"$scratch/out" 2>&1; }

verb() { # VERB… of $peer, in $dir and on $port
  env "${database[@]}" PEER_DIR="$dir" PORT="$port" "bench/peers/$peer/$1" "${@:2}" >"$scratch/out" 2>&1 </dev/null
}

values() {
  rig "$(env PORT="$port" "bench/peers/$peer/url")" <<'EOF'
import sys, types
from rig import peers
reasons = peers.check(types.SimpleNamespace(base_url=sys.argv[1], viewer=()))
sys.exit("\n".join(reasons) or None)
EOF
}

components_run() {
  local name p found=0
  while read -r name p; do
    found=1
    [[ -d /proc/$p ]] || { echo "component $name: no process $p" >>"$scratch/out" && return 1; }
  done <"$dir/components"
  ((found))
}

unprivileged() {
  local p name
  for p in $(processes_in "$dir"); do
    name=$(<"/proc/$p/comm")
    # nginx's master is root's, as that of the service is.
    if [[ $(awk '/^Uid:/ { print $3 }' "/proc/$p/status") == 0 ]] && ! grep -qx "nginx $p" "$dir/components"; then
      echo "process $p ($name) is root's" >>"$scratch/out"
      return 1
    fi
  done
}

port_is_free() { ! listening "$port"; }
says() { grep -qF -- "$1" "$scratch/out"; }
clean() { nothing_runs "$dir" && no_sockets "$dir" && port_is_free && [[ ! -e $dir/components ]]; }

kill_roots() {
  # shellcheck disable=SC2046 # a word for each
  kill -s KILL $(cut -d' ' -f2 "$dir/components")
}

test_form() { # FORM
  local form=$1
  dir=$scratch/peer-$peer-$form
  free_ports
  if ! verb up "$form"; then
    not_ok "$peer $form: up"
    return 0
  fi
  ok "$peer $form: up"
  check "$peer $form: the golden values" values
  check "$peer $form: its components run" components_run
  if [[ $EUID -eq 0 ]]; then check "$peer $form: as an unprivileged user" unprivileged; fi
  if verb up "$form"; then not_ok "$peer $form: a second up is refused"; else check "$peer $form: a second up is refused" says 'runs already'; fi
  check "$peer $form: which leaves the first alone" values
  check "$peer $form: down" verb down
  check "$peer $form: nothing is left" clean
  check "$peer $form: down where nothing runs" verb down

  check "$peer $form: up again in the same folder" verb up "$form"
  kill_roots
  check "$peer $form: down when its roots were killed" verb down
  check "$peer $form: nothing is left of them" clean

  check "$peer $form: up again after that" verb up "$form"
  check "$peer $form: down again" verb down
  check "$peer $form: nothing is left again" clean
  local right=${database[0]}
  database[0]=PGHOST=$scratch/nowhere
  if verb up "$form"; then
    if values; then not_ok "$peer $form: without its database it does not pass"; else ok "$peer $form: without its database it does not pass"; fi
    check "$peer $form: down without its database" verb down
  else
    ok "$peer $form: without its database it does not come up"
  fi
  database[0]=$right
  check "$peer $form: nothing is left without a database" clean
}

test_taken_port() {
  dir=$scratch/peer-$peer-taken
  # The stack's own nginx holds its port.
  port=$stack_port
  if verb up "$(head -n 1 "bench/peers/$peer/forms")"; then
    not_ok "$peer: a port that is taken"
  else
    check "$peer: a port that is taken is refused by name" says "the port is taken by process"
  fi
  check "$peer: nothing runs there" nothing_runs "$dir"
}
stack_port=$port

installed() { # as its own up sees it: everything else in this call is right
  dir=$scratch/peer-$peer-first
  free_ports
  local form
  form=$(head -n 1 "bench/peers/$peer/forms")
  if verb up "$form"; then
    verb down
    return 0
  fi
  ! says "$peer/install"
}

if (($# == 0)); then set -- django-gunicorn php-fpm aiohttp-asyncpg fastify-pg; fi
for peer; do
  if ! installed; then
    echo "skipped $peer: $(tail -n 1 "$scratch/out")"
    continue
  fi
  while read -r form; do test_form "$form"; done <"bench/peers/$peer/forms"
  test_taken_port
done

check 'the rig: names, forms, wrong answers and its own end' rig "$stack" "$@" <<'EOF'
import pathlib, sys, types
from rig import peers, process
from rig.stack import Rig, RigError

def refused(action, *words):
    try:
        action()
    except RigError as error:
        missing = [word for word in words if word not in str(error)]
        assert not missing, f"{error} does not say {missing}"
        return error
    raise AssertionError(f"not refused: {words}")

assert peers.parse("fastify, django") == ["django", "fastify"]
assert peers.parse("all") == list(peers.PEERS) and peers.parse("none") == [] == peers.parse("")
refused(lambda: peers.parse("django,flask"), "flask", *peers.PEERS)
for name in peers.PEERS:
    assert peers.forms(name)
    for form in peers.forms(name):
        assert len(peers.about(name, form)) > 100, (name, form)

stack = types.SimpleNamespace(run_dir=pathlib.Path(sys.argv[1]))
stack.pid = lambda name: int((stack.run_dir / "state" / name).read_text().split()[0])
stack.cluster = stack
nowhere = types.SimpleNamespace(cluster=types.SimpleNamespace(run_dir=stack.run_dir / "nowhere"))
with Rig() as rig:
    refused(lambda: peers.Peer(rig, "flask", "best", stack), "flask")
    refused(lambda: peers.Peer(rig, "aiohttp", "worst", stack), "worst", "best")
    pids = []
    for name in peers.PEERS:
        if peers.FOLDERS[name][0] not in sys.argv[2:]:
            continue
        try:
            peer = peers.start(rig, name, "best", stack)
        except peers.PeerError as error:
            assert "/install" in str(error), error
            continue
        parts = peer.components()
        assert {"app", "postgres"} <= set(parts) and peer.pid("app") == parts["app"]
        assert all(process.alive(pid) for pid in parts.values())
        assert peer.versions() and peer.base_url.endswith(f":{peer.port}"), peer.versions()
        assert peers.check(peer) == []
        pids += [pid for part, pid in parts.items() if part != "postgres"]
        error = refused(lambda: peers.start(rig, name, "best", nowhere), name)
        assert error.peer == name
    assert all(process.alive(pid) for pid in pids)
assert not any(process.alive(pid) for pid in pids), pids
EOF

# A rig that gets SIGNAL while it waits for a peer to come up (WHEN early), or when it has come up (late).
end_rig() { # FOLDER SIGNAL WHEN
  local folder=$1 signal=$2 when=$3 rig_pid file=$scratch/rig-dir
  rm -f "$file"
  env --default-signal=INT PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=bench TMPDIR="$scratch" /usr/bin/python3 - "$stack" "$folder" "$file" \
    >"$scratch/out" 2>&1 <<'EOF' &
import pathlib, signal, sys, types
from rig import peers
from rig.stack import Rig

cluster = types.SimpleNamespace(run_dir=pathlib.Path(sys.argv[1]))
name = next(name for name in peers.PEERS if peers.FOLDERS[name][0] == sys.argv[2])
with Rig() as rig:
    pathlib.Path(sys.argv[3]).write_text(str(rig.directory))
    peer = peers.Peer(rig, name, "best", types.SimpleNamespace(cluster=cluster))
    (rig.directory / "up").touch()
    signal.pause()
EOF
  rig_pid=$!
  background+=("$rig_pid")
  await 30 test -s "$file" || return 1
  dir=$(<"$file")
  if [[ $when == early ]]; then
    await 30 has_components || return 1
  else
    await 60 test -e "$dir/up" || return 1
  fi
  kill -s "$signal" "$rig_pid"
  await 60 ended "$rig_pid" || return 1
  wait "$rig_pid" || true
  nothing_runs "$dir" && [[ ! -e $dir ]]
}
has_components() { compgen -G "$dir/peer-*/components" >/dev/null; }

for peer; do
  dir=$scratch/peer-$peer-first
  installed || continue
  check "the rig ends with $peer half up" end_rig "$peer" TERM early
  check "the rig ends with $peer up" end_rig "$peer" INT late
done

echo "$passed passed, $failed failed"
((failed == 0))
