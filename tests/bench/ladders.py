#!/usr/bin/python3
"""The ladders and the slow database: their points, why they leave a step out, and what they need for one. Prints `ok NAME` or
`not ok NAME`, and a count."""
import os
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import cases
from cases import PROJECT, process
from rig import names
from rig.scenario import SERVICES, SHARE_OFF, Impossible, Settings
from rig.stack import Rig, RigError
from scenarios import known, ladder_connections, ladder_rate, ladder_rows, slow_db

PEERS = ("django published", "django best", "aiohttp best")
LADDERS = {"ladder-rate": "rate_share", "ladder-connections": "connections", "ladder-rows": "rows", "ladder-workers": "workers",
           "slow-db": "delay_ms"}


def scenario(name, profile):
    return known()[name](Settings(profile, PEERS))


def steps(name, profile, system=SHARE_OFF, path="/agents"):
    return [dict(point.step)[LADDERS[name]] for point in scenario(name, profile).points()
            if (point.system, point.path, point.placement) == (system, path, "unpinned")]


# --- points ---------------------------------------------------------------------------------------------------------------------


def test_each_can_be_tried_in_seconds():
    for name in LADDERS:
        assert len(scenario(name, "smoke").points()) == 1 and scenario(name, "smoke").estimate_s() < 10, name
        assert scenario(name, "quick").estimate_s() < 120, name
        assert not [point for point in scenario(name, "quick").points() if point.system not in SERVICES], name


def test_all_of_each_by_profile():
    assert "ladder-rate" in known() and known()["ladder-rate"].in_profiles == ("smoke", "quick", "full")
    for name in set(LADDERS) - {"ladder-rate"}:
        assert known()[name].in_profiles == ("full",), name


def test_steps_of_full():
    assert steps("ladder-rate", "full") == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert steps("ladder-connections", "full") == [50, 400, 2_000, 10_000]
    assert steps("ladder-rows", "full") == [50, 500, 5_000, 50_000]
    assert steps("ladder-workers", "full") == [1, 2, 4, 8, 16, 32]
    assert steps("slow-db", "full") == [0, 5, 0, 5]
    assert [dict(point.step)["connections"] for point in scenario("slow-db", "full").points()][:4] == [16, 16, 400, 400]
    for name in LADDERS:
        for system in SERVICES:
            assert steps(name, "full", system) == steps(name, "full"), (name, system)


def test_peers_of_full():
    for name, wanted in (("ladder-rate", PEERS[1:]), ("ladder-connections", PEERS), ("ladder-rows", PEERS[1:]), ("slow-db", PEERS[1:]),
                         ("ladder-workers", ())):
        found = dict.fromkeys(point.system for point in scenario(name, "full").points() if point.system not in SERVICES)
        assert tuple(found) == wanted, (name, found)
        for system in wanted:
            assert steps(name, "full", system) == steps(name, "full"), (name, system)


def test_points_are_told_apart_and_named():
    for name in LADDERS:
        points = scenario(name, "full").points()
        assert len({point.key(name, 1) for point in points}) == len(points), name
        assert all(set(dict(point.step)) <= set(names.STEP_WORDS) for point in points), name
        # By which they stand along the axis of a picture.
        assert name == "slow-db" or all(names.step_value(dict(point.step)) is not None for point in points), name


# --- limits ---------------------------------------------------------------------------------------------------------------------


def says(reason, *words):
    for word in words:
        assert word in (reason or ""), f"{word!r} is not in {reason!r}"


def test_files():
    assert ladder_connections.too_few_files("wrk", 1_000, 1_000, 900) is None
    assert ladder_connections.too_few_files("wrk", 10_128, resource.RLIM_INFINITY, 10_000) is None
    says(ladder_connections.too_few_files("wrk", 10_128, 1_024, 10_000),
         "too few file descriptors for a ladder step", "10,000 connections", "10,128 open files in wrk", "limit is 1,024",
         "ulimit -n 20128")


def test_files_of_nginx():
    # One process has all clients, each with a connection to the pool; two share them, but not evenly.
    assert ladder_connections.nginx_needs(10_000, 1) == 20_128
    assert 10_000 < ladder_connections.nginx_needs(10_000, 2) < 15_000
    assert ladder_connections.nginx_needs(10_000, 16) < 2_000


@contextmanager
def sleeper_with_files(limit):
    """A process with one child that may open so many files."""
    child = subprocess.Popen(["/bin/sh", "-c", "ulimit -n $1; sleep 60 & wait", "sh", str(limit)])
    try:
        cases.await_(lambda: process.leaves(child.pid), "no child")
        yield child.pid
    finally:
        for pid in process.tree(child.pid):
            os.kill(pid, 9)
        child.wait()


def test_files_of_a_process():
    assert ladder_connections.open_files(os.getpid()) == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    with sleeper_with_files(300) as master:
        assert ladder_connections.too_few_for_nginx(master, 50) is None
        says(ladder_connections.too_few_for_nginx(master, 400), "a process of nginx", "limit is 300")
    assert ladder_connections.too_few_for_nginx(None, 400) is None
    assert ladder_connections.open_files(master) > 1_000_000, "a process that has ended has no limit"


def test_ports():
    assert ladder_connections.too_few_ports(10_000, 28_232) is None
    says(ladder_connections.too_few_ports(10_000, 9_999), "10,000 connections", "9,999", "ip_local_port_range", "sysctl")
    low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()
    assert ladder_connections.local_ports() == int(high) - int(low) + 1


def test_memory():
    assert ladder_rows.too_little_memory(50_000, 1 << 30) is None
    says(ladder_rows.too_little_memory(50_000, 100 << 20), "too little memory", "50,000 agents", "480 MB", "105 MB")
    assert ladder_rows.available_bytes() > 1 << 20


class FewFiles:
    """A lab in which nothing may come up."""

    def system(self, *_, **__):
        raise AssertionError("a system came up for a step that cannot be measured")


def test_a_step_is_left_out_before_anything_comes_up():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        ladder = scenario("ladder-connections", "full")
        point = next(point for point in ladder.points() if point.step == (("connections", 400),))
        ladder.measure(FewFiles(), point)
        raise AssertionError("measured")
    except Impossible as error:
        says(str(error), "400 connections need 528 open files", "limit is 256")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


# --- capacity -------------------------------------------------------------------------------------------------------------------


class Lab:
    """Closed loops at 1,234.4 requests a second, or what `record` says, and a list of the rates that were asked for."""

    def __init__(self, runs=(), **record):
        self.capacity, self.loops, self.asked, self.texts = {}, 0, [], {}
        self.record = {"void": None, "rate": 1234.4, **record}
        self.journal = SimpleNamespace(runs=list(runs), keep_text=self.texts.__setitem__)

    def system(self, name):
        return SimpleNamespace(name=name)

    def wrk(self, *_, **__):
        self.loops += 1
        return self.record, {"txt": "said"}

    def pace(self, target, point, *, rate, **_):
        self.asked.append((target.name, point.path, rate))
        return "record", {}


def measure_all(lab, profile="quick"):
    ladder = scenario("ladder-rate", profile)
    for point in ladder.points():
        ladder.measure(lab, point)
    return ladder


def test_capacity_is_measured_once():
    lab = Lab()
    measure_all(lab)
    assert lab.loops == 1 and lab.capacity == {f"{SHARE_OFF} /agents": 1234} and len(lab.texts) == 1
    assert lab.asked == [(SHARE_OFF, "/agents", 1234 * share) for share in (0.1, 0.3, 0.5, 0.7, 0.9)]
    lab = Lab()
    measure_all(lab, "full")
    # Each of two services on two paths, and on one with the generator pinned, and two peers on one.
    assert lab.loops == len(lab.capacity) == len(lab.texts) == 8
    assert f"{SHARE_OFF} /agents pinned" in lab.capacity


def test_capacity_of_a_result_that_goes_on():
    run = {"scenario": "ladder-rate", "system": SHARE_OFF, "path": "/agents", "placement": "unpinned", "step": {"rate_share": 0.3},
           "rate_asked": 4321 * 0.3}
    others = ({"scenario": "slow-db"}, {"path": "/index"}, {"placement": "pinned"}, {"system": "django best"})
    lab = Lab([*({**run, **other, "rate_asked": 1.0} for other in others), run])
    measure_all(lab)
    assert lab.loops == 0 and lab.capacity == {f"{SHARE_OFF} /agents": 4321} and lab.asked[0][2] == 4321 * 0.1


def test_no_capacity():
    for wrong in ({"rate": 0.0}, {"void": "behind the run: 500"}):
        lab = Lab(**wrong)
        try:
            measure_all(lab)
            raise AssertionError("measured")
        except Impossible as error:
            says(str(error), "no capacity", wrong.get("void", "no answer"))
        assert not lab.capacity and not lab.asked
    assert ladder_rate.LadderRate.profiles["full"]["capacity_s"] >= 10


# --- the slow database ----------------------------------------------------------------------------------------------------------


@contextmanager
def cluster():
    """What stands in a lab for its database: a server that echoes, where PostgreSQL would listen."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        for part in ("pg", "state"):
            Path(folder, part).mkdir()
        Path(folder, "state/postgres").write_text(f"{os.getpid()} 0 0\n", encoding="ascii")
        listener.bind(f"{folder}/pg/.s.PGSQL.5432")
        listener.listen()

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(connection.recv(100))

        threading.Thread(target=serve, daemon=True).start()
        yield SimpleNamespace(run_dir=Path(folder), pid=lambda name: f"pid of {name}", sql=lambda text: f"rows of {text}")
        listener.shutdown(socket.SHUT_RDWR)


def round_trip_s(database):
    words = dict(word.split("=") for word in database.conninfo().split())
    assert words["user"] == "asterisk" and words["dbname"] == "benchmarks"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(f"{words['host']}/.s.PGSQL.5432")
        begin = time.monotonic()
        client.sendall(b"ping")
        assert client.recv(4) == b"ping"
        return time.monotonic() - begin


def test_a_delayed_database():
    with cluster() as behind, Rig() as rig:
        delayed = slow_db.DelayedDatabase(SimpleNamespace(rig=rig, database=behind), 200)
        none = slow_db.DelayedDatabase(SimpleNamespace(rig=rig, database=behind), 0)
        assert round_trip_s(delayed) >= 0.200 and min(round_trip_s(none) for _ in range(20)) < 0.200
        # In the place of a stack: where its socket is, who runs the server, and what it answers.
        assert delayed.cluster is delayed and delayed.run_dir != none.run_dir and delayed.pid("postgres") == "pid of postgres"
        assert (delayed.run_dir / "state/postgres").read_text(encoding="ascii").split()[0] == str(os.getpid())
        assert delayed.sql("SELECT 1") == "rows of SELECT 1"
        assert (delayed.run_dir / "pg").stat().st_mode & 0o777 == 0o750
        delayed.stop()
        assert delayed.proxy.poll() == 0 and not (delayed.run_dir / "pg/.s.PGSQL.5432").exists()
        left = none.proxy
    assert left.poll() == 0, "the rig has ended, and its proxy runs"


def test_no_database_to_delay():
    with cluster() as behind, Rig() as rig:
        (behind.run_dir / "pg/.s.PGSQL.5432").unlink()
        try:
            slow_db.DelayedDatabase(SimpleNamespace(rig=rig, database=behind), 5)
            raise AssertionError("it came up")
        except RigError as error:
            says(str(error), "delay proxy has ended", f"{behind.run_dir}/pg/.s.PGSQL.5432")


if __name__ == "__main__":
    if not os.access(PROJECT / "build/bench/delay_proxy", os.X_OK):
        sys.exit("build/bench/delay_proxy is not built: make build/bench/delay_proxy")
    sys.exit(cases.run(globals()))
