#!/usr/bin/python3
"""The 1 Gb/s link, what runs over it, and that nothing of it is left, however the rig ends. Prints `ok NAME` or `not ok NAME`, and a count.
Needs root, network namespaces, veth and tbf; without them it says so and tests only what is left."""
import contextlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest.mock
from pathlib import Path

import cases
from cases import PROJECT, process, program
from rig import network, peers
from rig.stack import Rig, RigError, Stack

GOLDEN = PROJECT / "tests/golden"
PATHS = ("index", "agents", "agents_with_orm")
# Set by main().
rig = cluster = None


def namespaces(*pids):
    """Those that rigs with these pids have made."""
    try:
        return [name for name in os.listdir("/run/netns") if any(name.startswith(f"afb-{pid}-") for pid in pids)]
    except FileNotFoundError:
        return []


def refused(action, *words):
    try:
        action()
    except RigError as error:
        missing = [word for word in words if word not in str(error)]
        assert not missing, f"the error does not say {missing}: {error}"
        return str(error)
    raise AssertionError(f"not refused: {words}")


@contextlib.contextmanager
def link(**options):
    made = network.Link(rig, **options)
    try:
        yield made
    finally:
        made.stop()
        assert not namespaces(os.getpid()), namespaces(os.getpid())


@contextlib.contextmanager
def instead_of(program_name, script):
    """The link's commands find a shell script for PROGRAM, which may go on with "$REAL" "$@"."""
    before = network.ENVIRONMENT["PATH"]
    with tempfile.TemporaryDirectory(prefix="agents-fcgi-fake.") as folder:
        fake = Path(folder) / program_name
        fake.write_text(f"#!/bin/sh\nREAL={shutil.which(program_name, path=before)}\nNOTES={folder}/notes\n{script}\n", encoding="utf-8")
        fake.chmod(0o755)
        network.ENVIRONMENT["PATH"] = f"{folder}:{before}"
        try:
            yield Path(folder) / "notes"
        finally:
            network.ENVIRONMENT["PATH"] = before


@contextlib.contextmanager
def quietly():
    with contextlib.redirect_stdout(io.StringIO()) as said:
        yield said


def enter(words, command):
    return subprocess.run([*words, *command], capture_output=True, text=True, check=False)


# --- the link itself --------------------------------------------------------------------------------------------------------------


def test_link_is_made_and_verified():
    with link() as made, quietly() as said:
        assert len(namespaces(os.getpid())) == 2
        before = made.describe()
        assert before["rate_mbit_measured"] is None and before["rtt_us"] is None
        found = made.verify()
        assert found == made.describe() and json.loads(json.dumps(found)) == found
        assert found["rate_mbit_asked"] == 1000 and 900 <= found["rate_mbit_measured"] <= 1000, found
        assert found["delay_ms_asked"] == 0.1 and isinstance(found["netem"], bool), found
        rtt = found["rtt_us"]
        assert set(rtt) == {"min", "median", "p99"} and 0 < rtt["min"] <= rtt["median"] <= rtt["p99"], rtt
        for word in ("tbf rate 1000mbit", "namespaces", "netem"):
            assert word in found["how"], found["how"]
        assert "Mbit/s to the client" in said.getvalue(), said.getvalue()


@contextlib.contextmanager
def listener(words, address):
    """The port of something that listens there."""
    serve = [*words, "/usr/bin/python3", "-I", str(network.PROBE), "serve", address]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child.stdout.readline().strip()
        finally:
            child.kill()


def connects(words, address, port):
    return enter(words, ["/bin/bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}"]).returncode == 0


def test_each_end_reaches_itself_and_the_other():
    with link() as made:
        for here, address, there in ((made.client, made.client_address, made.server), (made.server, made.server_address, made.client)):
            with listener(here, "127.0.0.1") as port:
                assert connects(here, "127.0.0.1", port), "its loopback is down"
                assert not connects(there, "127.0.0.1", port) and not connects([], "127.0.0.1", port), "no namespace of its own"
            with listener(here, address) as port:
                assert connects(here, address, port) and connects(there, address, port)
                assert not connects([], address, port), "this machine reaches into the link"


def test_commands_keep_the_mounts_of_this_machine():
    with link() as made:
        for words in (made.client, made.server):
            done = enter(words, ["readlink", "/proc/self/ns/mnt", "/proc/self/ns/net"])
            mounts, net = done.stdout.split()
            assert mounts == os.readlink("/proc/self/ns/mnt") and net != os.readlink("/proc/self/ns/net"), done


def test_settings_of_this_machine_hold_at_both_ends():
    file = Path("/proc/sys/net/core/somaxconn")
    before = file.read_text(encoding="ascii")
    file.write_text("12345", encoding="ascii")
    try:
        with link() as made:
            for words in (made.client, made.server):
                assert enter(words, ["cat", str(file)]).stdout == "12345\n"
    finally:
        file.write_text(before, encoding="ascii")


def test_two_links_at_once():
    with link() as one:
        two = network.Link(rig)
        assert len(namespaces(os.getpid())) == 4
        two.stop()
        assert sorted(namespaces(os.getpid())) == sorted(one.names)


def test_stop_twice():
    with link() as made:
        made.stop()
        assert not namespaces(os.getpid())


def test_network_that_is_routed_is_not_taken():
    taken = network.choose_network()[0].rsplit(".", 1)[0]
    subprocess.run(["ip", "route", "add", "blackhole", f"{taken}.0/24"], check=True)
    try:
        assert not network.choose_network()[0].startswith(taken)
    finally:
        subprocess.run(["ip", "route", "del", "blackhole", f"{taken}.0/24"], check=True)


def test_free_ports_at_the_server():
    with link() as made:
        ports = made.free_ports(3)
        assert len(set(ports)) == 3 and all(1024 < port < 65536 for port in ports), ports


# --- a link that is not what it says ----------------------------------------------------------------------------------------------


def qdisc(made, *words):
    for name in made.names:
        subprocess.run(["tc", "-netns", name, "qdisc", *words], check=True)


def test_link_without_a_limit_is_refused():
    with link(delay_ms=0) as made, quietly() as said:
        qdisc(made, "del", "dev", network.DEVICE, "root")
        refused(lambda: made.verify(0.2), "more than the 1000", "tbf")
        assert "not what it must be" in said.getvalue()


def test_link_with_a_limit_at_one_end_only_is_refused():
    with link(delay_ms=0) as made, quietly():
        subprocess.run(["tc", "-netns", made.names[0], "qdisc", "del", "dev", network.DEVICE, "root"], check=True)
        refused(lambda: made.verify(0.2), "to the server", "more than the 1000")


def test_slow_link_is_refused_after_three_tries():
    with link(delay_ms=0) as made, quietly() as said:
        qdisc(made, "change", "dev", network.DEVICE, "root", "handle", "1:", "tbf", "rate", "300mbit", *network.SHAPE.split())
        refused(lambda: made.verify(0.2), "less than the 900", "busy")
        assert said.getvalue().count("\n") == 3, said.getvalue()


def test_slow_link_that_recovers_is_taken():
    with link(delay_ms=0) as made, quietly() as said:
        qdisc(made, "change", "dev", network.DEVICE, "root", "handle", "1:", "tbf", "rate", "300mbit", *network.SHAPE.split())
        probe, calls = network.Link._probe, []

        def recovers(*words):
            calls.append(1)
            if len(calls) == 3:
                qdisc(made, "change", "dev", network.DEVICE, "root", "handle", "1:", "tbf", "rate", "1000mbit", *network.SHAPE.split())
            return probe(*words)
        made._probe = recovers
        assert made.verify(0.5)["rate_mbit_measured"] >= 900
        assert "try 1 of 3" in said.getvalue()


def test_link_that_is_gone_is_refused():
    with link() as made, quietly():
        subprocess.run(["ip", "-netns", made.names[0], "link", "set", network.DEVICE, "down"], check=True)
        refused(made.verify, "cannot be measured")


def test_other_rate():
    with link(rate_mbit=100, delay_ms=0) as made, quietly():
        assert 90 <= made.verify(0.5)["rate_mbit_measured"] <= 100, made.describe()


# --- kernels that lack something --------------------------------------------------------------------------------------------------


def test_kernel_without_namespaces():
    with instead_of("ip", 'case "$*" in "netns add"*) echo "mount failed: Operation not permitted"; exit 1;; esac; exec "$REAL" "$@"'):
        refused(lambda: network.Link(rig), "network namespaces", "CAP_SYS_ADMIN", "Operation not permitted")
    assert not namespaces(os.getpid())


def test_kernel_without_veth():
    with instead_of("ip", 'case "$*" in *veth*) echo "Error: Unknown device type."; exit 2;; esac; exec "$REAL" "$@"'):
        refused(lambda: network.Link(rig), "veth", "CONFIG_VETH", "Unknown device type")
    assert not namespaces(os.getpid())


def test_kernel_without_tbf():
    with instead_of("tc", 'case "$*" in *tbf*) echo "Error: Specified qdisc kind is unknown."; exit 2;; esac; exec "$REAL" "$@"'):
        refused(lambda: network.Link(rig), "CONFIG_NET_SCH_TBF", "qdisc kind is unknown")
    assert not namespaces(os.getpid())


def test_kernel_without_netem():
    with instead_of("tc", 'case "$*" in *netem*) echo "Error: Specified qdisc kind is unknown."; exit 2;; esac; exec "$REAL" "$@"'):
        with link() as made:
            found = made.describe()
            assert not found["netem"] and "this kernel has no netem (tc: Error: Specified qdisc kind is unknown.)" in found["how"], found


def test_netem_that_does_not_delay_is_refused():
    """And on the way: what a kernel with netem is asked for."""
    with instead_of("tc", 'case "$*" in *netem*) echo "$*" >>"$NOTES"; exit 0;; esac; exec "$REAL" "$@"') as notes:
        with link(delay_ms=2.5) as made, quietly():
            found = made.describe()
            assert found["netem"] and "netem delays each direction by 2.5 ms" in found["how"], found
            asked = notes.read_text(encoding="ascii").splitlines()
            assert len(asked) == 2 and all(line.endswith("parent 1:1 handle 10: netem delay 2500us limit 1000") for line in asked), asked
            refused(lambda: made.verify(0.2), "less than twice its delay of 2.5 ms", "netem")


def test_system_without_tc():
    with unittest.mock.patch("shutil.which", lambda name, path: None if name == "tc" else name):
        refused(lambda: network.Link(rig), "tc is not installed", "make bench")


def test_without_root():
    """As nobody, from a copy that nobody can read."""
    with tempfile.TemporaryDirectory(prefix="agents-fcgi-nobody.") as scratch:
        os.chmod(scratch, 0o755)
        shutil.copytree(PROJECT / "bench/rig", f"{scratch}/bench/rig", ignore=shutil.ignore_patterns("__pycache__"))
        os.mkdir(f"{scratch}/tmp")
        os.chmod(f"{scratch}/tmp", 0o1777)
        text = "from rig import network, stack\nwith stack.Rig() as rig:\n    network.Link(rig)\n"
        words = ["/usr/bin/setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
        done = subprocess.run([*words, "/usr/bin/python3", "-B", "-c", text], cwd=f"{scratch}/bench", capture_output=True, text=True,
                              check=False, env={"PATH": "/usr/bin:/bin", "TMPDIR": f"{scratch}/tmp"})
        assert done.returncode == 1 and "the 1 Gb/s link needs root" in done.stderr, done
        assert os.listdir(f"{scratch}/tmp") == []


test_without_root.needs_nothing = True


# --- what runs over it ------------------------------------------------------------------------------------------------------------


def test_service_over_the_link():
    with link() as made:
        stack = Stack(rig, "linked", 2, "--share off", database=cluster, network=made)
        assert stack.base_url == f"http://{made.server_address}:{stack.port}"
        for path in PATHS:
            status, body = peers.fetch(stack.base_url, f"/{path}", made.client)
            assert status == 200 and body == (GOLDEN / f"{path}.json").read_bytes(), (path, status)
        assert isinstance(peers.fetch(stack.base_url, "/index"), str), "it answers outside of the link"
        net = os.stat(f"/run/netns/{made.names[1]}").st_ino
        pids = process.tree(stack.pid("nginx")) + process.tree(stack.pid("pool"))
        assert len(pids) >= 5 and all(os.stat(f"/proc/{pid}/ns/net").st_ino == net for pid in pids)
        stack.stop()
        assert not any(process.alive(pid) for pid in pids)


def test_service_with_its_own_database_over_the_link():
    with link() as made:
        stack = Stack(rig, "linked-alone", 2, "--share on", network=made)
        status, body = peers.fetch(stack.base_url, "/agents", made.client)
        assert status == 200 and body == (GOLDEN / "agents.json").read_bytes()
        assert stack.sql("SELECT count(*) FROM agentfeatures") == [("50",)]
        pids = process.tree(stack.pid("postgres"))
        stack.stop()
        assert not any(process.alive(pid) for pid in pids)


def test_start_that_fails_over_the_link():
    with link() as made:
        refused(lambda: Stack(rig, "wrong", 2, "--share perhaps", database=cluster, network=made), "stack wrong does not start", "perhaps")
        assert process.working_in(rig.directory / "wrong") == []


def test_peer_over_the_link():
    for name, form in (("django", "published"), ("aiohttp", "best")):
        try:
            with link() as made:
                options = {"listen": made.server_address, "launcher": made.server, "viewer": made.client}
                peer = peers.start(rig, name, form, cluster, made.free_ports(1)[0], **options)
                assert peers.check(peer) == []
                assert isinstance(peers.fetch(peer.base_url, "/index"), str), "it answers outside of the link"
                pids = process.tree(peer.pid("app"))
                peer.stop()
                assert pids and not any(process.alive(pid) for pid in pids)
            return
        except peers.PeerError as error:
            assert "/install" in str(error), error
            print(f"skipped {name}: {str(error).splitlines()[-1]}", flush=True)


# --- nothing is left --------------------------------------------------------------------------------------------------------------

# A link, with a stack, null responders and wrk over it; arguments: the folder of a cluster, or "" for one of its own.
HOLDER = '''
folder = sys.argv[1]
cluster = types.SimpleNamespace(run_dir=pathlib.Path(folder), conninfo=lambda: f"host={folder}/pg user=asterisk dbname=benchmarks")
cluster.cluster = cluster
with Rig() as rig:
    link = network.Link(rig)
    tell("link", " ".join(link.names))
    service = Stack(rig, "service", 2, "--share off", database=cluster if folder else None, network=link)
    tell("service")
    NullStack(rig, "null", 2, service, "/index")
    wrk = load.start([*link.client, "/usr/bin/wrk", "-t1", "-c4", "-d3600s", service.base_url + "/index"])
    await_(lambda: pathlib.Path(f"/proc/{wrk.pid}/comm").read_text() == "wrk\\n", "wrk does not come")
    tell("up", wrk.pid)
    load.finish(wrk)
'''


def in_namespaces(inodes):
    """The processes in these network namespaces."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{name}/ns/net").st_ino in inodes:
                found.append(int(name))
    return found


def holder(end, wait_for="up", database=None, slow_ip=False):
    """A rig that is ended by `end(program)` when it has told how far it is. (status, output)"""
    text = HOLDER
    if slow_ip:
        text = HOLDER.replace("    link =", f"    network.ENVIRONMENT['PATH'] = {network.ENVIRONMENT['PATH']!r}\n    link =", 1)
    with program(text, str(cluster.run_dir) if database is None else database) as running:
        running.wait_for(wait_for)
        inodes = set()
        if (running.told / "link").exists():
            inodes = {os.stat(f"/run/netns/{name}").st_ino for name in running.wait_for("link").split()}
        wrk = int(running.wait_for("up")) if wait_for == "up" else None
        if wrk:
            working = process.working_in(running.scratch / "t")
            assert len(working) >= 8 and len(in_namespaces(inodes)) >= 6, (working, in_namespaces(inodes))
        end(running)
        status = running.ended()
        cases.await_(lambda: not wrk or not process.alive(wrk), "wrk runs", 30)
        cases.await_(lambda: not in_namespaces(inodes), "something runs in the link's namespaces", 30)
        left = namespaces(running.child.pid)
        assert left == [], f"left behind: {left}\n{running.said()}"
        running.left_nothing()
        return status, running.said()


def test_end_by_signal():
    for number, wanted in ((signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
        status, said = holder(lambda running: running.send(number))
        assert status == wanted and "janitor" not in said, (number, status, said)


def test_end_by_kill():
    status, said = holder(lambda running: running.send(signal.SIGKILL))
    assert status == -signal.SIGKILL and "deploy/local/stop" in said, (status, said)


def test_end_by_kill_with_a_cluster_of_its_own():
    holder(lambda running: running.send(signal.SIGKILL), database="")


def test_impatient_ctrl_c():
    """Ten times a second, for a second."""
    def end(running):
        for _ in range(10):
            running.send(signal.SIGINT)
            time.sleep(0.1)
    status, said = holder(end)
    assert status == -signal.SIGINT and "janitor" not in said, (status, said)


def test_kill_during_the_clean_up():
    """At a random moment of it."""
    def end(running):
        running.send(signal.SIGTERM)
        time.sleep(random.uniform(0, 0.8))
        running.send(signal.SIGKILL)
    holder(end)


def test_kill_while_the_link_is_made():
    """At random moments."""
    for _ in range(3):
        def end(running):
            time.sleep(random.uniform(0, 0.1))
            running.send(signal.SIGKILL)
        holder(end, wait_for="directory")


def test_kill_while_the_stack_starts():
    """At random moments, early, later and late."""
    for delay in (0.05, random.uniform(0.1, 1), random.uniform(1, 3)):
        def end(running):
            time.sleep(delay)
            running.send(signal.SIGKILL)
        holder(end, wait_for="link", database="")


def test_ctrl_c_while_the_stack_starts():
    """At a random moment."""
    def end(running):
        time.sleep(random.uniform(0, 1.5))
        running.send(signal.SIGINT)
    status, said = holder(end, wait_for="link", database="")
    assert status == -signal.SIGINT, (status, said)


def test_kill_while_a_slow_ip_makes_a_namespace():
    """The namespace comes a second after the rig's end, and must go all the same."""
    slow = ('case "$*" in "netns add"*) trap "" TERM; echo >>"$NOTES"; sleep 1; "$REAL" "$@"; echo >>"$NOTES.made";; '
            '*) exec "$REAL" "$@";; esac')
    with instead_of("ip", slow) as notes:
        def end(running):
            cases.await_(notes.exists, "no namespace is made")
            running.send(signal.SIGKILL)
            running.ended()
            cases.await_(notes.with_suffix(".made").exists, "the namespace does not come")
        holder(end, wait_for="directory", slow_ip=True)


# --- all of it --------------------------------------------------------------------------------------------------------------------


def why_not():
    """What keeps this system from having a link, found without the rig's help; None when nothing does."""
    if os.geteuid() != 0:
        return "it needs root"
    name = f"afb-{os.getpid()}-try"
    steps = (["ip", "netns", "add", name], ["ip", "-netns", name, "link", "add", "try0", "type", "veth", "peer", "name", "try1"],
             ["tc", "-netns", name, "qdisc", "add", "dev", "try0", "root", "tbf", "rate", "1gbit", "burst", "128kb", "latency", "12ms"])
    try:
        for words in steps:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                return f"{' '.join(words)}: {done.stderr.strip()}"
        return None
    except FileNotFoundError as error:
        return f"{error.filename} is not installed"
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def main():
    global rig, cluster
    reason = why_not()
    tests = {name: test for name, test in globals().items() if name.startswith("test_")}
    if reason:
        print(f"skipped all but what needs no link: {reason}")
        return cases.run({name: test for name, test in tests.items() if getattr(test, "needs_nothing", False)})
    with Rig() as rig:
        cluster = Stack(rig, "cluster", 2, "--share off")
        return cases.run(tests)


if __name__ == "__main__":
    sys.exit(main())
