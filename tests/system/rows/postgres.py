"""PostgreSQL restarted, stopped, silent, and where its name cannot be looked up."""
import os
import signal
import sys
import threading
import time

from kit import process
from kit.client import Prober
from kit.load import Load, measure
from kit.process import KitError, await_
from kit.stack import PROJECT, Stack, free_port, run
from kit.trial import Skip, row


RESTART_MIX = {"/index": 600, "/agents": 500, "/agents_with_orm": 500}


@row("postgres-restart", "PostgreSQL restarted, fast and immediate, with queries shared and not")
def postgres_restart(t):
    """With a deadline that a restart on a busy machine keeps, too."""
    main, deadline_s = t.home.stack(), 30
    for share in ("on", "off"):
        with Stack(t.home, f"restart-{share}", options=f"--request-timeout={deadline_s}s --share={share}",
                   database=main.conninfo()) as stack:
            for name, number in (("fast", signal.SIGINT), ("immediate", signal.SIGQUIT)):
                restarts(t, main, stack, f"{name} restarts, share={share}", number, deadline_s)


def restarts(t, main, stack, what, number, deadline_s):
    count = (t.settings.injections + 1) // 2
    load = Load(stack, RESTART_MIX, connections=1500, timeout=2 * deadline_s)
    longest = 0.0
    for _ in range(count):
        t.pause(0.5)
        began = time.monotonic()
        main.end_postgres(number)
        main.start_postgres()
        longest = max(longest, time.monotonic() - began)
        stack.await_health()
    load.goes_on(0.5)
    t.judge(load.stop())
    t.figure(f"{count} {what}: {longest:.2f} s at most")


@row("few-connections", "two of four workers killed while PostgreSQL has connections for two")
def few_connections(t):
    main, role = t.home.stack(), "few"
    main.sql(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 4; GRANT asterisk TO {role}")
    with Stack(t.home, "few", database=main.conninfo(user=role), options="--request-timeout=2s") as stack:
        before = stack.workers()
        main.sql(f"ALTER ROLE {role} CONNECTION LIMIT 2")
        for pid in before[:2]:
            process.send(pid, signal.SIGKILL)
        await_(lambda: stack.log("worker").count("too many connections for role") >= 2, "two workers are refused by PostgreSQL")
        result = measure(stack, t.settings.seconds, {"/index": 300, "/agents": 300}, connections=100)
        t.check(len(set(before) & set(stack.workers())) == 2, "other workers than the two that were killed were replaced")
        connected = main.sql(f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}'")[0][0]
        t.check(connected == "2", f"{connected} connections instead of 2")
        main.sql(f"ALTER ROLE {role} CONNECTION LIMIT -1")
        stack.await_health()
    t.judge(result)
    t.figure("2 of 4 workers without a database")
    main.sql(f"DROP ROLE {role}")


def came_back(stack, since_bytes):
    return "ready to accept connections" in stack.log("postgres")[since_bytes:]


def judge_outage(t, deadline_s, load, prober, began, back, undisturbed, statuses):
    """What an outage of the database promises, however it came."""
    result = load.stop()
    index, agents = result.of("/index"), result.of("/agents")
    t.check(index.failed == 0 and index.good > 0, f"/index suffered: {index.faults()}")
    t.check(agents.only(200, 503, 504), f"/agents got something else than 200, 503 or 504: {agents.faults()}")
    if statuses == (503,):
        # Whose deadline comes between the connection and its answer gets 504.
        t.check(agents.statuses.get(504, 0) <= max(3, agents.statuses.get(503, 0) // 20), f"/agents got 504: {agents.faults()}")
    during = [answer for when, answer in prober.seen if when < back]
    refused = [answer for answer in prober.answers(began) if answer.status != 200]
    t.check(bool(refused), f"nobody noticed the outage ({len(during)} answers)")
    t.check(all(answer.is_problem() for answer in refused), "a refusal was no problem in form, or had no Retry-After")
    t.check(not prober.errors(), f"a client was dropped: {prober.errors()[:1]}")
    last_bad = max((when + answer.seconds for when, answer in prober.seen if getattr(answer, "status", 0) != 200), default=back)
    recovery = max(0.0, last_bad - back)
    longest = max(answer.seconds for answer in prober.answers())
    counts = ", ".join(f"{agents.statuses.get(status, 0):,}x {status}" for status in statuses)
    t.figure(f"/index 0 of {index.requests:,} failed; /agents {counts} by {longest:.1f} s (deadline {deadline_s} s); "
             f"200 again after {recovery:.1f} s")
    t.ratio_of_p99(result, "/index", undisturbed)
    t.time(longest <= deadline_s + 0.5, f"an answer took {longest:.1f} s")
    t.check(recovery <= 10, f"the last refusal came {recovery:.1f} s after PostgreSQL was back")
    t.check(longest <= deadline_s + 10, f"an answer took {longest:.1f} s")
    t.time(recovery <= 1.5, f"the last refusal came {recovery:.1f} s after PostgreSQL was back")


OUTAGE_MIX = {"/index": 1000, "/agents": 250}


@row("postgres-away", "PostgreSQL stopped, then started again")
def postgres_away(t):
    main, deadline_s = t.home.stack(), 2
    with Stack(t.home, "away", options=f"--request-timeout={deadline_s}s", database=main.conninfo()) as stack:
        undisturbed = measure(stack, 2, OUTAGE_MIX, connections=100)
        load = Load(stack, OUTAGE_MIX, connections=1000, timeout=deadline_s + 20)
        with Prober(stack.port, "/agents") as prober:
            load.goes_on(0.5)
            began = time.monotonic()
            main.end_postgres()
            # How long it is away.
            time.sleep(t.settings.seconds)
            (main.run_dir / "postgres.log").write_bytes(b"")
            seen = []

            def look():
                await_(lambda: came_back(main, 0), "PostgreSQL is back", every=0.005)
                seen.append(time.monotonic())
            watcher = threading.Thread(target=look, daemon=True)
            watcher.start()
            main.start_postgres()
            watcher.join()
            stack.await_health()
            load.goes_on(1)
        judge_outage(t, deadline_s, load, prober, began, seen[0] if seen else began, undisturbed, (503,))


class Relay:
    """A process between the pool and PostgreSQL, which can fall silent."""

    def __init__(self, home, stack):
        self.port = free_port()
        self.child = home.spawn([sys.executable, str(PROJECT / "tests/system/kit/relay.py"), str(self.port),
                                 str(stack.run_dir / "pg/.s.PGSQL.5432")])
        if self.child.stdout.readline() != "listens\n":
            raise KitError("the relay does not start")

    def url(self, more=""):
        return f"host=127.0.0.1 port={self.port} user=asterisk dbname=benchmarks{more}"

    def silence(self):
        process.send(self.child.pid, signal.SIGSTOP)

    def heal(self):
        process.send(self.child.pid, signal.SIGCONT)


@row("postgres-silent", "what goes to PostgreSQL is dropped, not refused, then healed")
def postgres_silent(t):
    deadline_s = 2
    relay = Relay(t.home, t.home.stack())
    with Stack(t.home, "silent", options=f"--request-timeout={deadline_s}s", database=relay.url()) as stack:
        undisturbed = measure(stack, 2, OUTAGE_MIX, connections=100)
        load = Load(stack, OUTAGE_MIX, connections=1000, timeout=deadline_s + 20)
        with Prober(stack.port, "/agents") as prober:
            load.goes_on(0.5)
            began = time.monotonic()
            relay.silence()
            # How long it is silent.
            time.sleep(t.settings.seconds + deadline_s)
            relay.heal()
            back = time.monotonic()
            stack.await_health()
            load.goes_on(1)
        judge_outage(t, deadline_s, load, prober, began, back, undisturbed, (503, 504))


def silent_host(t):
    """Several hosts, the first of which takes no connection and refuses none."""
    import socket
    relay = Relay(t.home, t.home.stack())
    port = free_port()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", port))
        silent.listen(0)
        # Its queue is full with these, so that further ones are not even answered.
        fill = [socket.socket() for _ in range(3)]
        for s in fill:
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", port))
        conninfo = f"host=127.0.0.1,127.0.0.1 port={port},{relay.port} user=asterisk dbname=benchmarks"
        began = time.monotonic()
        with Stack(t.home, "hosts", options="--request-timeout=5s", database=conninfo) as stack:
            stack.await_health()
            # The start has waited for the check first, then for the pool: each goes through the silent host.
            started_s = time.monotonic() - began
            load = Load(stack, {"/index": 800, "/agents": 200}, connections=600)
            longest = 0.0
            for _ in range(2):
                cut = time.monotonic()
                t.home.stack().sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'benchmarks' AND "
                                   "application_name = 'agents-fcgi'")
                await_(stack.is_ready, "the pool is ready again", every=0.05)
                longest = max(longest, time.monotonic() - cut)
            load.goes_on(0.5)
            t.judge(load.stop())
            t.figure(f"the second host serves {longest:.1f} s after a cut (connect time-out 2 s), start {started_s:.1f} s")
            t.time(longest <= 4, f"the reachable host was used only after {longest:.1f} s")
        for s in fill:
            s.close()


def can_have_mounts():
    return os.geteuid() == 0 and run(["/usr/bin/unshare", "-m", "/bin/true"], {"PATH": "/usr/bin:/bin"})[0] == 0


def silent_resolver(t):
    """The pool lives where /etc/hosts and /etc/resolv.conf are ours, and the name server never answers."""
    import socket
    if not can_have_mounts():
        raise Skip("root and mount namespaces, for a resolver that is silent")
    home, relay = t.home, Relay(t.home, t.home.stack())
    hosts, resolv = home.new_file("hosts"), home.new_file("resolv.conf")
    known = "127.0.0.1 localhost\n127.0.0.1 database.test\n"
    hosts.write_text(known, encoding="ascii")
    resolv.write_text("nameserver 127.0.0.77\noptions timeout:3 attempts:1\n", encoding="ascii")
    for file in (hosts, resolv):
        file.chmod(0o644)
    script = f'mount --bind {hosts} /etc/hosts && mount --bind {resolv} /etc/resolv.conf && exec "$@"'
    conninfo = f"host=database.test port={relay.port} user=asterisk dbname=benchmarks"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.77", 53))
        with Stack(home, "names", options="--request-timeout=2s", database=conninfo,
                   before=["/usr/bin/unshare", "-m", "/bin/sh", "-c", script, "sh"]) as stack:
            undisturbed = measure(stack, 2, OUTAGE_MIX, connections=100)
            load = Load(stack, OUTAGE_MIX, connections=1000, timeout=22)
            with Prober(stack.port, "/agents") as prober:
                began = time.monotonic()
                hosts.write_text("127.0.0.1 localhost\n", encoding="ascii")
                home.stack().sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'benchmarks' AND "
                                 "application_name = 'agents-fcgi'")
                # How long the name is unknown.
                time.sleep(t.settings.seconds + 1)
                hosts.write_text(known, encoding="ascii")
                back = time.monotonic()
                stack.await_health()
                load.goes_on(0.5)
            server.setblocking(False)
            try:
                asked = bool(server.recv(512))
            except BlockingIOError:
                asked = False
            t.check(asked, "nobody asked the silent name server")
            # A look-up that is under way when the name is back goes on until its own time-out.
            judge_outage(t, 2, load, prober, began, back + 3, undisturbed, (503,))


@row("dns-silent", "database named by host name, resolver silent; several hosts, the first silent")
def dns_silent(t):
    silent_host(t)
    silent_resolver(t)
