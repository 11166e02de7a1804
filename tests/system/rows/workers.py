"""Workers that are killed, stopped or hang; and multiwatch, which keeps them alive."""
import signal
import threading
import time

from kit import process
from kit.client import Prober
from kit.load import Load
from kit.process import await_
from kit.stack import PROJECT, Stack, run
from kit.trial import row

from .tables import FILL
from .upgrades import slow_logins, worker_with


def kill_some(t, stack, load, count, mean):
    """One random worker after another; the longest time until the pool was whole again."""
    longest = 0.0
    for _ in range(count):
        t.pause(mean)
        victim = t.random.choice(sorted(stack.workers()))
        killed = time.monotonic()
        process.send(victim, signal.SIGKILL)
        longest = max(longest, stack.seconds_until_whole(killed, [victim]))
    load.goes_on(0.5)
    t.judge(load.stop())
    return longest


def kill_at_query(t, main):
    """Half of those who ask are at a worker at any time; HEAD makes nginx connect anew, so that no kept connection is to blame."""
    database = main.make_database("slow", slow_logins(0.02))
    with Stack(t.home, "head", database=database) as stack:
        for head in (False, True):
            kill_some(t, stack, Load(stack, {"/agents": 400}, head=head), t.settings.injections, 0.4)
    main.sql("DROP DATABASE slow WITH (FORCE)", "postgres")
    t.figure(f"{t.settings.injections} kills amid slow GETs, and amid HEADs")


# Of 161 and 207 KB, each more than one record of FastCGI can hold.
BIG = (650, 850)


def kill_at_big_answers(t, main):
    """They go to the socket whole: who dies behind its sendmsg, or anywhere else, has answered or not, but never by half."""
    path, sizes, order = "/agents_with_orm", [], t.home.new_file("die")
    order.touch()
    order.chmod(0o666)
    extra = {"LD_PRELOAD": str(PROJECT / "build/test/system/hang.so"), "HANG_FILE": str(order)}
    for more in BIG:
        database = main.make_database("big", FILL.format(count=more))
        with Stack(t.home, f"big{more}", database=database, extra=extra) as stack:
            body = t.home.new_file("body")
            body.write_bytes(stack.get(path).body)
            sizes.append(body.stat().st_size)
            load = Load(stack, {path: 400}, bodies={path: body})
            for _ in range(t.settings.injections):
                # Some time apart, as promised: who is tried again four times within a moment, each time by one that dies, gets 502.
                t.pause(0.4)
                before = set(stack.workers())
                order.write_text("die", encoding="ascii")
                await_(lambda: not before <= set(stack.workers()), "a worker dies behind its answer", every=0.005)
                await_(stack.is_whole, "the pool is whole", every=0.005)
            kill_some(t, stack, load, (t.settings.injections + 1) // 2, 0.4)
    t.check(1 << 17 < min(sizes) and max(sizes) < 208 << 10, f"answers of {sizes} bytes are not those that are promised")
    main.sql("DROP DATABASE big WITH (FORCE)", "postgres")
    t.figure(f"{len(BIG) * t.settings.injections} kills right behind answers of {' and '.join(f'{size:,}' for size in sizes)} bytes, "
             "and half as many amid them")


@row("kill-worker", "kill -9 of one random worker after another")
def kill_worker(t):
    main = t.home.stack()
    longest = kill_some(t, main, Load(main), t.settings.injections, 0.5)
    t.figure(f"{t.settings.injections} kills, whole again after {longest * 1000:.0f} ms at most")
    t.time(longest <= 1, f"the pool was whole again only after {longest:.2f} s")
    kill_at_query(t, main)
    kill_at_big_answers(t, main)


def judge_stuck(t, what, result, deadline_s, at_most):
    """nginx gave up who was given to the worker, a second behind the deadline and long before the worker did anything again."""
    late = result.statuses.get(504, 0)
    t.check(result.only(200, 504), f"{what}: not all of {result.requests} requests got 200 or 504: {result.faults()}")
    t.check(1 <= late <= at_most, f"{what}: {late} requests got 504; the worker had {at_most} descriptors")
    t.check(result.max_s < deadline_s + 6, f"{what}: a request took {result.max_s:.1f} s")
    t.time(result.max_s <= deadline_s + 2, f"{what}: a request took {result.max_s:.1f} s")
    t.figure(f"{what}: {late} of {result.requests:,} requests got 504, the longest took {result.max_s:.1f} s (deadline {deadline_s} s)")


# Of standing still: more than nginx's time-out, and more than the watchdog's 10 s.
STOPPED_S = 13


def stopped_worker(t, deadline_s):
    """Who was given to the stopped worker waits for nginx's time-out; nobody else notices."""
    database = t.home.stack().conninfo()
    with Stack(t.home, "stuck", options=f"--request-timeout={deadline_s}s", database=database) as stack:
        load = Load(stack, timeout=deadline_s + 30)
        load.goes_on(1)
        # One that serves, so that somebody notices.
        victim = max(stack.workers(), key=process.descriptors)
        process.send(victim, signal.SIGSTOP)
        at_most = process.descriptors(victim)
        # How long it stands still.
        time.sleep(STOPPED_S)
        process.send(victim, signal.SIGCONT)
        stack.await_health()
        result = load.stop()
        t.check(stack.is_whole() and victim in stack.workers(), "the worker that went on was replaced")
    judge_stuck(t, f"stopped for {STOPPED_S} s", result, deadline_s, at_most)


def hung_worker(t, deadline_s):
    """A library before libc makes the loop of one worker hang, without the process being stopped."""
    order = t.home.directory / "hang"
    extra = {"LD_PRELOAD": str(PROJECT / "build/test/system/hang.so"), "HANG_FILE": str(order)}
    with Stack(t.home, "hung", options=f"--request-timeout={deadline_s}s", database=t.home.stack().conninfo(), extra=extra) as stack:
        load = Load(stack, timeout=deadline_s + 20)
        victim = max(stack.workers(), key=process.descriptors)
        order.write_text(f"{victim}\n", encoding="ascii")
        order.chmod(0o644)
        hung = time.monotonic()
        # Until its loop has come to the next recv; a worker that hangs takes no further connection.
        time.sleep(0.5)
        at_most = process.descriptors(victim)
        replaced_s = stack.seconds_until_whole(hung, [victim])
        stack.await_health()
        result = load.stop()
        t.check('"event":"watchdog"' in stack.log("worker"), "the watchdog did not say that it ended the worker")
    judge_stuck(t, f"hung, replaced after {replaced_s:.1f} s", result, deadline_s, at_most)
    t.time(replaced_s <= 12, f"the hung worker was replaced after {replaced_s:.1f} s")


@row("stuck-worker", "SIGSTOP of one worker; and one whose loop hangs")
def stuck_worker(t):
    stopped_worker(t, 2)
    hung_worker(t, 2)


@row("kill-multiwatch", "kill -9 of multiwatch, which spawn-fcgi has become")
def kill_multiwatch(t):
    stack = Stack(t.home, "foreground", database=t.home.stack().conninfo(), start=False)
    output = t.home.new_file("run")
    with output.open("w", encoding="utf-8") as file:
        child = t.home.spawn(["deploy/local/run"], cwd=PROJECT, env=stack.env, stdout=file)
    await_(lambda: "ready: " in output.read_text(encoding="utf-8") or child.poll() is not None, "make run is ready")
    stack.await_health()
    load = Load(stack)
    load.goes_on(1)
    killed = time.monotonic()
    process.send(stack.pid("pool"), signal.SIGKILL)
    await_(lambda: child.poll() is not None, "make run ends when multiwatch is killed")
    ended_s = time.monotonic() - killed
    result = load.stop()
    text = output.read_text(encoding="utf-8")
    t.check(child.returncode == 1, f"make run ended with {child.returncode}, not 1")
    t.check("pool has ended by itself" in text, f"make run does not say why it ended: {text}")
    left = process.in_folder(stack.run_dir)
    t.check(not left, f"processes are left: {left}")
    t.check(not (stack.run_dir / "pool.sock").exists(), "the socket is left")
    wrong = [name for name in ("mismatch", "malformed", "timeout") if result.errors.get(name)]
    t.check(not wrong and set(result.statuses) <= {200, 502, 503}, f"before it stopped: {result.faults()}")
    t.check(result.good > 0, "there was no load")
    stack.stop()
    t.figure(f"said and stopped cleanly after {ended_s:.1f} s, no orphan, no socket; no wrong answer among {result.answered:,} before")


@row("kill-all-workers", "kill -9 of all workers at once")
def kill_all_workers(t):
    stack = t.home.stack()
    load = Load(stack)
    longest = 0.0
    with Prober(stack.port, "/agents", every=0.002) as prober:
        for _ in range(max(2, t.settings.injections // 2)):
            t.pause(0.7)
            victims = stack.workers()
            killed = time.monotonic()
            for pid in victims:
                process.send(pid, signal.SIGKILL)
            longest = max(longest, stack.seconds_until_whole(killed, victims))
        # All that has come to the socket is served by those who come after; only without one is there nobody to ask.
        no_socket(stack, prober)
        load.goes_on(0.5)
    result = load.stop()
    t.judge_statuses(result, 502, 503)
    lost = sum(answer.status == 502 for answer in prober.answers())
    t.check(lost > 0 and result.statuses.get(502, 0) > 0, f"without a socket {lost} got 502, and of the load {result.faults()}")
    bad = [answer.status for answer in prober.answers() if answer.status != 200 and not answer.is_problem()]
    t.check(not bad, f"{len(bad)} answers are no problem, such as {bad[:3]}")
    t.check(not prober.errors(), f"a client was dropped: {prober.errors()[:1]}")
    t.figure(f"{result.failed} of {result.requests:,} requests got 502 or 503, whole again after {longest * 1000:.0f} ms at most")
    t.time(longest <= 1, f"the pool was whole again only after {longest:.2f} s")


def no_socket(stack, prober):
    """Takes the name of the pool's socket away, and what had come to it before; puts it back when somebody has got 502."""
    name, away = stack.run_dir / "pool.sock", stack.run_dir / "pool.away"

    def is_lost():
        for pid in stack.workers():
            process.send(pid, signal.SIGKILL)
        # For the next workers to take the connections that wait.
        time.sleep(0.2)
        return any(answer.status == 502 for answer in prober.answers())
    name.rename(away)
    try:
        await_(is_lost, "somebody gets 502 without a socket")
    finally:
        away.rename(name)
    stack.await_health()


@row("crash-upgrade", "a worker killed while the others are upgraded")
def crash_upgrade(t):
    stack = t.home.stack()
    load, rounds, hits = Load(stack), max(2, t.settings.injections // 3), 0
    for number in range(rounds):
        before, told = stack.workers(), []
        program = worker_with(t.home, "new-worker", f"crash {number}")

        def go():
            told.append(run(["deploy/local/upgrade", str(program)], stack.env))
        upgrade = threading.Thread(target=go)
        upgrade.start()
        try:
            await_(lambda: set(before) - set(stack.workers()) or told, "the first worker is replaced", every=0.001)
            # The one that is told last.
            left = [pid for pid in before if pid in stack.workers()]
            hits += bool(left) and process.send(left[-1], signal.SIGKILL)
        finally:
            upgrade.join()
        t.check(told[0][0] == 0, f"the upgrade failed: {told[0][1]}")
        stack.await_health()
        t.check(not set(before) & set(stack.workers()), "workers of before are left")
    load.goes_on(0.5)
    t.judge(load.stop())
    t.check(hits > 0, "each upgrade was over before a worker could be killed")
    t.figure(f"{hits} workers killed in {rounds} upgrades, all of which went through")
