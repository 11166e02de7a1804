"""Resources that run out, and more requests than can be served."""
import os
import resource
import signal
import socket
import time

from kit import process
from kit.client import Connection, Prober, Probers
from kit.load import Load, measure
from kit.process import KitError, await_
from kit.stack import Stack, run
from kit.trial import Skip, row

from .clients import client
from .tables import FILL
from .upgrades import slow_logins


def problems_only(t, prober, what):
    bad = [answer for answer in prober.answers() if answer.status != 200 and not answer.is_problem()]
    t.check(not bad, f"{what}: not in the form of a problem: {[(answer.status, answer.body[:80]) for answer in bad[:2]]}")


def no_descriptors(t):
    """All that the workers may have are taken on their socket: what nginx has kept goes on, and what is new waits, and gets a problem."""
    limit, deadline_s = 700, 1
    before = ["/usr/bin/prlimit", f"--nofile={limit}:{limit}"]
    options, database = f"--request-timeout={deadline_s}s", t.home.stack().conninfo()
    with Stack(t.home, "files", workers=2, options=options, database=database, before=before) as stack:
        load = Load(stack, {"/index": 500, "/agents": 300}, connections=16, timeout=20)
        with Prober(stack.port, "/agents", every=0.05) as prober:
            load.goes_on(0.5)
            opened = []
            for _ in range(2 * limit + 100):
                s = socket.socket(socket.AF_UNIX)
                s.settimeout(5)
                s.connect(stack.socket)
                opened.append(s)
            await_(lambda: "RLIMIT_NOFILE" in stack.log("worker"), "a worker says that descriptors run out")
            live = [status_of(stack, "/health/live", stack.admin) for _ in range(10)]
            taken = max(process.descriptors(pid) for pid in stack.workers())
            # How long they stay taken.
            time.sleep(deadline_s)
            for s in opened:
                s.close()
            closed = time.monotonic()
            stack.await_health()
            recovered_s = time.monotonic() - closed
            load.goes_on(0.3)
        result = load.stop()
    t.judge_statuses(result, 502, 503, 504)
    problems_only(t, prober, "without descriptors")
    t.check(live.count(200) > len(live) // 2, f"/health/live answered {live}")
    t.figure(f"descriptors: {taken} of {limit} taken, {result.failed} of {result.requests:,} refused, "
             f"health {live.count(200)} of {len(live)}; back after {recovered_s:.1f} s")


def status_of(stack, path, port=None):
    try:
        return stack.get(path, port, 20).status
    except (OSError, KitError) as error:
        return str(error)


def too_many_clients(t):
    """More clients than nginx may have: it closes the ones that are idle for the ones that ask."""
    limit = 700
    before = ["/usr/bin/prlimit", f"--nofile={limit}:{limit}"]
    with Stack(t.home, "clients", workers=2, database=t.home.stack().conninfo(), before=before) as stack:
        opened = []
        served = []
        for number in range(4 * limit):
            opened.append(client(stack.port, "/index"))
            if number % 100 == 99:
                served.append(status_of(stack, "/agents"))
        t.check(set(served) == {200}, f"among so many, a client that asks got {served}")
        t.check("not enough" in stack.log("nginx-error"), "nginx had connections enough")
        for s in opened:
            s.close()
        stack.await_health()
    t.figure(f"{4 * limit:,} idle clients for {limit}: {len(served)} of {len(served)} who asked among them served")


def limit_memory(pid, size):
    """The soft limit of a process's address space."""
    soft_limit(pid, "as", size)


def soft_limit(pid, what, size):
    """As its own user, since root need not have the right."""
    owner = os.stat(f"/proc/{pid}")
    words = ["/usr/bin/prlimit", f"--pid={pid}", f"--{what}={size}:"]
    if owner.st_uid != os.geteuid():
        words = ["/usr/bin/setpriv", f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups", "--"] + words
    status, output = run(words, {"PATH": "/usr/bin:/bin"})
    if status != 0:
        raise KitError(f"prlimit: {output.strip()}")


def no_memory(t, main):
    """Address space as it is, plus what is far too little for 50,000 agents."""
    database = main.make_database("tight", FILL.format(count=49950))
    with Stack(t.home, "memory", workers=2, database=database) as stack:
        workers = stack.workers()
        load = Load(stack, {"/index": 500}, timeout=20)
        for pid in workers:
            with open(f"/proc/{pid}/statm", encoding="ascii") as file:
                limit_memory(pid, int(file.read().split()[0]) * resource.getpagesize() + (2 << 20))
        answers = [stack.get(path) for path in ("/agents", "/agents_with_orm") * 4]
        # None at all: what libfcgi would need for a long header ends the process, unless it is asked for first. A short one has room in what is free.
        for pid in workers:
            limit_memory(pid, 1 << 20)
        with Connection(stack.port) as connection:
            answers += [connection.get("/index", more=f"If-None-Match: {'x' * 7000}\r\n") for _ in range(8)]
            t.check(connection.get("/index").status == 200, "without memory a short request was not served")
        for pid in workers:
            limit_memory(pid, "unlimited")
        await_(lambda: stack.get("/agents").status == 200 and stack.get("/agents_with_orm").status == 200, "there is memory again")
        result = load.stop()
        t.check(workers == stack.workers(), "a worker was replaced")
    refused = [answer for answer in answers if answer.status == 503 and answer.is_problem()]
    t.check(len(refused) == len(answers), f"without memory: {[answer.status for answer in answers]} instead of 503")
    t.judge_statuses(result, 503)
    t.figure(f"memory: {len(refused)} of {len(answers)} that need much 503, /index {result.failed} of {result.requests:,} 503, no worker lost")
    main.sql("DROP DATABASE tight WITH (FORCE)", "postgres")


def disk_full(t):
    """The folder of logs and temporary files is a small file system, and full."""
    home = t.home
    folder = home.directory / "disk"
    folder.mkdir(mode=0o711)
    mount = ["/bin/mount", "-t", "tmpfs", "-o", "size=48m,mode=0711", "tmpfs", str(folder)]
    if os.geteuid() != 0 or run(mount, {"PATH": "/usr/bin:/bin"})[0] != 0:
        raise Skip("root and the right to mount, for a disk that is full; the rest of it was run")
    home.at_end(lambda: run(["/bin/umount", str(folder)], {"PATH": "/usr/bin:/bin"}))
    stack = Stack(home, "disk", database=home.stack().conninfo(), options="--slow-log=0ms", extra={"ACCESS_LOG": "on"})
    load = Load(stack, {"/index": 500, "/agents": 500, "/agents_with_orm": 300})
    fill = stack.run_dir / "fill"
    with fill.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * (1 << 20))
        except OSError:
            pass
    await_(lambda: os.statvfs(folder).f_bavail == 0, "the disk is full")
    load.goes_on(t.settings.seconds / 2)
    for _ in range(2):
        # Its successor finds a slot, and a log that takes nothing.
        victim = t.random.choice(sorted(stack.workers()))
        process.send(victim, signal.SIGKILL)
        stack.seconds_until_whole(time.monotonic(), [victim])
    stack.await_health()
    load.goes_on(0.5)
    t.check(status_of(stack, "/health/ready", stack.admin) == 200, "not ready while the disk is full")
    full = len(stack.log("access"))
    fill.unlink()
    await_(lambda: len(stack.log("access")) > full, "the access log goes on when there is room")
    result = load.stop()
    stack.await_health()
    stack.stop()
    t.check(result.failed == 0, f"disk full: {result.failed} of {result.requests} failed: {result.faults()}")
    t.figure(f"disk full: 0 of {result.requests:,} failed, 2 workers killed meanwhile, the logs go on by themselves")


@row("exhaustion", "descriptors used up; disk full for logs and temporary files; memory limit reached")
def exhaustion(t):
    no_descriptors(t)
    too_many_clients(t)
    no_memory(t, t.home.stack())
    disk_full(t)


def query_times(stack):
    """(how many queries the workers have sent, the seconds until their rows were there)."""
    return stack.metric("query_duration_seconds_count"), stack.metric("query_duration_seconds_sum")


@row("overload", "a query slowed to 20 ms, own query each, at 2 and 5 times the capacity; with sharing the same")
def overload(t):
    main, deadline_s, query_s = t.home.stack(), 2, 0.02
    database = main.make_database("slow", slow_logins(query_s))
    seconds = max(4, t.settings.seconds)
    with Stack(t.home, "overload", options=f"--share=off --request-timeout={deadline_s}s", database=database) as stack:
        # One connection at a time shows what a query takes here; each worker has one under way.
        alone = measure(stack, 2, {"/agents": 5}, connections=1, warmup=1)
        capacity = stack.worker_count / (alone.p50_ms / 1000)
        for times in (2, 5):
            load = Load(stack, {"/agents": int(times * capacity)}, seconds=seconds, connections=2500, timeout=20, warmup=deadline_s)
            before, began = query_times(stack), time.monotonic()
            with Probers(24, stack.port, "/agents", every=0.02) as prober:
                result = load.result()
            queries, spent_s = (now - then for now, then in zip(query_times(stack), before))
            # A busy machine's queries take longer, and then it cannot do as many.
            possible = min(capacity, stack.worker_count * queries / spent_s)
            # What the probers are served is taken from the same capacity.
            probed = sum(answer.status == 200 for answer in prober.answers()) / (time.monotonic() - began)
            goodput = result.good / result.seconds + probed
            refused = result.statuses.get(503, 0)
            # Who was let in and then held up by something else on this machine gets 504.
            t.judge_statuses(result, 503, 504)
            late = result.statuses.get(504, 0)
            t.check(late <= result.requests / 20, f"{late} of {result.requests} were let in and got 504")
            t.time(late == 0, f"{late} that were let in got 504")
            problems_only(t, prober, f"{times} times the capacity")
            t.check(refused > 0, f"nothing was refused at {times} times the capacity")
            t.check(not prober.errors(), f"a client was dropped: {prober.errors()[:1]}")
            refusals, refused_ms = prober.refusal_ms()
            t.figure(f"{times}x: {goodput:.0f}/s served of a capacity of {capacity:.0f}, their p99 {result.p99_ms:.0f} ms (deadline "
                     f"{deadline_s} s), {late} late, {refused:,} of {result.requests:,} refused, half of {refusals} of them within "
                     f"{refused_ms:.1f} ms")
            t.check(goodput >= 0.6 * possible,
                    f"at {times} times the capacity {goodput:.0f} a second were served, {possible:.0f} were possible")
            t.check(refusals >= 10, f"{refusals} refusals were seen, too few to say how fast they are")
            t.check(refused_ms < 1000 * deadline_s / 4, f"half of the refusals took more than {refused_ms:.0f} ms")
            t.time(goodput >= 0.9 * capacity, f"at {times} times the capacity {goodput:.0f} of {capacity:.0f} a second were served")
            t.time(result.p99_ms <= 1000 * deadline_s, f"p99 of those served was {result.p99_ms:.0f} ms")
            stack.await_health()
    with Stack(t.home, "shared", options=f"--request-timeout={deadline_s}s", database=database) as stack:
        result = measure(stack, seconds, {"/agents": int(5 * capacity)}, connections=500, timeout=20)
        t.check(result.failed == 0, f"with sharing on: {result.faults()}")
        t.figure(f"shared, 5x: {result.failed} of {result.requests:,} failed, p99 {result.p99_ms:.0f} ms")
    main.sql("DROP DATABASE slow WITH (FORCE)", "postgres")
