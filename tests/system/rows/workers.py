"""Workers that are killed, stopped or hang; and multiwatch, which keeps them alive."""
import signal
import time

from kit import process
from kit.client import Prober
from kit.load import Load
from kit.process import KitError, await_
from kit.stack import PROJECT, Stack
from kit.trial import row


@row("kill-worker", "kill -9 of one random worker after another")
def kill_worker(t):
    stack = t.home.stack()
    load = Load(stack)
    longest = 0.0
    for _ in range(t.settings.injections):
        t.pause(0.5)
        victim = t.random.choice(sorted(stack.workers()))
        killed = time.monotonic()
        process.send(victim, signal.SIGKILL)
        longest = max(longest, stack.seconds_until_whole(killed, [victim]))
    load.goes_on(0.5)
    t.judge(load.stop())
    t.figure(f"{t.settings.injections} kills, whole again after {longest * 1000:.0f} ms at most")
    t.time(longest <= 1, f"the pool was whole again only after {longest:.2f} s")


def stopped_worker(t, deadline_s):
    """Who was given to the stopped worker waits for nginx's time-out; nobody else notices."""
    database = t.home.stack().conninfo()
    with Stack(t.home, "stuck", options=f"--request-timeout={deadline_s}s", database=database) as stack:
        load = Load(stack, timeout=deadline_s + 20)
        load.goes_on(1)
        victim = t.random.choice(sorted(stack.workers()))
        at_most = process.descriptors(victim)
        process.send(victim, signal.SIGSTOP)
        # How long it stands still.
        time.sleep(deadline_s + 2)
        process.send(victim, signal.SIGCONT)
        stack.await_health()
        result = load.stop()
        t.check(stack.is_whole() and victim in stack.workers(), "the worker that went on was replaced")
    late = result.statuses.get(504, 0)
    t.check(result.only(200, 504), f"not all of {result.requests} requests got 200 or 504: {result.faults()}")
    t.check(late <= at_most, f"{late} requests got 504, more than the stopped worker had connections: {at_most}")
    t.figure(f"stopped: {late} of {result.requests:,} requests got 504, the longest took {result.max_s:.1f} s (deadline {deadline_s} s)")
    t.time(result.max_s <= deadline_s + 2, f"a request took {result.max_s:.1f} s")


def hung_worker(t, deadline_s):
    """A library before libc makes the loop of one worker hang, without the process being stopped."""
    order = t.home.directory / "hang"
    extra = {"LD_PRELOAD": str(PROJECT / "build/test/system/hang.so"), "HANG_FILE": str(order)}
    with Stack(t.home, "hung", options=f"--request-timeout={deadline_s}s", database=t.home.stack().conninfo(), extra=extra) as stack:
        load = Load(stack, timeout=deadline_s + 20)
        victim = t.random.choice(sorted(stack.workers()))
        order.write_text(f"{victim}\n", encoding="ascii")
        order.chmod(0o644)
        hung = time.monotonic()
        replaced_s = stack.seconds_until_whole(hung, [victim])
        stack.await_health()
        result = load.stop()
        t.check('"event":"watchdog"' in stack.log("worker"), "the watchdog did not say that it ended the worker")
    late = result.statuses.get(504, 0)
    t.check(result.only(200, 504), f"not all of {result.requests} requests got 200 or 504: {result.faults()}")
    t.figure(f"hung: replaced after {replaced_s:.1f} s, {late} of {result.requests:,} requests got 504")
    t.time(result.max_s <= deadline_s + 2, f"a request took {result.max_s:.1f} s while a loop hung")
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
        load.goes_on(0.5)
    result = load.stop()
    t.judge_statuses(result, 502, 503)
    bad = [answer.status for answer in prober.answers() if answer.status != 200 and not answer.is_problem()]
    t.check(not bad, f"answers that are no problem: {bad}")
    t.check(not prober.errors(), f"a client was dropped: {prober.errors()[:1]}")
    t.figure(f"{result.failed} of {result.requests:,} requests got 502 or 503, whole again after {longest * 1000:.0f} ms at most")
    t.time(longest <= 1, f"the pool was whole again only after {longest:.2f} s")
    if not prober.answers():
        raise KitError("the prober saw nothing")
