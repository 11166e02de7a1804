"""All of it: what may cost requests once at the start, the rest at random for as long as SOAK_SECONDS says."""
import signal
import socket
import time

from kit import fastcgi, process
from kit.load import Load
from kit.process import await_, await_steady
from kit.stack import PROJECT, Stack, run
from kit.trial import row

from .clients import client
from .limits import limit_memory, soft_limit
from .tables import FILL
from .upgrades import worker_with
from .wrong import WRONG_HTTP, WRONG_RECORDS, judge_http

MIX = {"/index": 700, "/agents": 600, "/agents_with_orm": 400}


class Faults:
    """What may happen at any time; each returns when it has happened. Two workers are left alone, so that their growth can be seen."""

    def __init__(self, t, stack, main, spared):
        self.t, self.stack, self.main, self.spared = t, stack, main, spared
        self.all = [self.kill, self.kill_others, self.upgrade_others, self.drain_others, self.reload_nginx, self.reload_options,
                    self.restart_postgres, self.end_backends, self.silence_backends, self.aborts, self.bad_http, self.bad_records,
                    self.lock, self.add_column, self.stop_and_go]

    def _others(self):
        return sorted(set(self.stack.workers()) - set(self.spared))

    def kill(self):
        victim = self.t.random.choice(self._others())
        process.send(victim, signal.SIGKILL)
        self.stack.seconds_until_whole(time.monotonic(), [victim])

    def kill_others(self):
        """At once."""
        victims = self._others()
        for pid in victims:
            process.send(pid, signal.SIGKILL)
        self.stack.seconds_until_whole(time.monotonic(), victims)

    def drain_others(self):
        victims = self._others()
        for pid in victims:
            process.send(pid, signal.SIGTERM)
        self.stack.seconds_until_whole(time.monotonic(), victims)

    def upgrade_others(self):
        for pid in self._others():
            process.send(pid, signal.SIGUSR1)
            self.stack.seconds_until_whole(time.monotonic(), [pid])

    def reload_nginx(self):
        self.stack.reload_nginx()

    def reload_options(self):
        for pid in self.stack.workers():
            process.send(pid, signal.SIGUSR2)

    def restart_postgres(self):
        self.main.end_postgres(self.t.random.choice([signal.SIGINT, signal.SIGQUIT]))
        self.main.start_postgres()

    def end_backends(self):
        self.main.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'agents-fcgi'")

    def silence_backends(self):
        """PostgreSQL's processes for the service say nothing, for a random time."""
        pids = [int(pid) for pid, in self.main.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'agents-fcgi'")]
        for pid in pids:
            process.send(pid, signal.SIGSTOP)
        time.sleep(self.t.random.uniform(0.05, 0.5))
        for pid in pids:
            process.send(pid, signal.SIGCONT)

    def add_column(self):
        """One that the service does not read."""
        self.main.sql("ALTER TABLE agentfeatures ADD COLUMN more text")
        time.sleep(self.t.random.uniform(0.05, 0.5))
        self.main.sql("ALTER TABLE agentfeatures DROP COLUMN more")

    def aborts(self):
        for s in [client(self.stack.port, self.t.random.choice(list(MIX))) for _ in range(100)]:
            s.close()

    def bad_http(self):
        names = [name for name in WRONG_HTTP if name != "a body too large"]
        for name in self.t.random.sample(names, 4):
            judge_http(self.t, self.stack, name)

    def bad_records(self):
        for name in self.t.random.sample(list(WRONG_RECORDS), 4):
            fastcgi.last_word(self.stack.socket, WRONG_RECORDS[name][0], 30, half_close=True)

    def lock(self):
        """For a random time."""
        with self.main.session() as session:
            session.run("BEGIN; LOCK TABLE agentfeatures IN ACCESS EXCLUSIVE MODE")
            time.sleep(self.t.random.uniform(0.05, 0.5))
            session.run("COMMIT")

    def stop_and_go(self):
        """For a random time, less than anybody's time-out."""
        victim = self.t.random.choice(self._others())
        process.send(victim, signal.SIGSTOP)
        time.sleep(self.t.random.uniform(0.05, 0.5))
        process.send(victim, signal.SIGCONT)


class LoudFaults:
    """What costs requests, or every worker."""

    def __init__(self, t, stack, main, hang_order):
        self.t, self.stack, self.main, self.hang_order = t, stack, main, hang_order
        self.all = [self.kill_all, self.drain_all, self.upgrade, self.rename_column, self.postgres_away, self.no_descriptors,
                    self.no_memory, self.slow_readers, self.hang_and_lock]

    def _all(self, number):
        victims = self.stack.workers()
        for pid in victims:
            process.send(pid, number)
        self.stack.seconds_until_whole(time.monotonic(), victims)

    def kill_all(self):
        self._all(signal.SIGKILL)

    def drain_all(self):
        self._all(signal.SIGTERM)

    def upgrade(self):
        status, output = run(["deploy/local/upgrade", str(worker_with(self.t.home, "new-worker", "soak"))], self.stack.env)
        self.t.check(status == 0, f"the upgrade failed: {output}")

    def rename_column(self):
        self.main.sql("ALTER TABLE agentfeatures RENAME COLUMN language TO tongue")
        time.sleep(0.5)
        self.main.sql("ALTER TABLE agentfeatures RENAME COLUMN tongue TO language")

    def postgres_away(self):
        self.main.end_postgres()
        time.sleep(2)
        self.main.start_postgres()

    def _limited(self, limit, undo):
        """Every worker limited for a while, as by limit(pid)."""
        pids = self.stack.workers()
        for pid in pids:
            limit(pid)
        opened = [client(self.stack.port, "/agents_with_orm") for _ in range(50)]
        time.sleep(0.5)
        for pid in pids:
            undo(pid)
        for s in opened:
            s.close()
        self.t.check(pids == self.stack.workers(), "a worker ended at its limit")

    def no_descriptors(self):
        before = {pid: process.most_descriptors(pid) for pid in self.stack.workers()}
        self._limited(lambda pid: soft_limit(pid, "nofile", process.descriptors(pid)), lambda pid: soft_limit(pid, "nofile", before[pid]))

    def no_memory(self):
        self._limited(lambda pid: limit_memory(pid, 1 << 20), lambda pid: limit_memory(pid, "unlimited"))

    def slow_readers(self):
        """On the pool's socket: an answer over 2,000 agents does not fit it."""
        self.main.sql(FILL.format(count=1950))
        opened = []
        for _ in range(30):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(30)
            s.connect(self.stack.socket)
            s.sendall(fastcgi.request("/agents_with_orm"))
            opened.append(s)
        await_(lambda: self.stack.metric("requests_in_flight") >= len(opened) / 2, "answers wait for those who do not read")
        for s in opened:
            s.close()
        self.main.sql("DELETE FROM agentfeatures WHERE description = 'mark'")

    def hang_and_lock(self):
        """A worker hangs until its watchdog ends it, while a table is locked past the deadline."""
        victim = max(self.stack.workers(), key=process.descriptors)
        self.hang_order.write_text(f"{victim}\n", encoding="ascii")
        self.hang_order.chmod(0o644)
        with self.main.session() as session:
            session.run("BEGIN; LOCK TABLE agentfeatures IN ACCESS EXCLUSIVE MODE")
            time.sleep(6)
            session.run("COMMIT")
        await_(lambda: victim not in self.stack.workers(), "the watchdog ends the worker that hangs")
        self.hang_order.unlink()
        self.stack.await_health()


def loud_phase(t, stack, main, hang_order):
    """Each once, in any order; every answer is explained, and afterwards all is as it was."""
    faults = LoudFaults(t, stack, main, hang_order)
    load = Load(stack, LOUD_MIX, connections=100, resend=True, expect=False)
    for fault in t.random.sample(faults.all, len(faults.all)):
        fault()
        stack.await_health()
        # For something to be served between them.
        t.pause(0.3)
    load.goes_on(0.5)
    result = load.stop()
    t.judge_statuses(result, 502, 503, 504)
    t.figure(f"{len(faults.all)} kinds at the start: {result.failed:,} of {result.requests:,} got 502, 503 or 504")


# Not too many of the large answers.
LOUD_MIX = {"/index": 700, "/agents": 100, "/agents_with_orm": 50}


@row("soak", "mixed load with all of the above at random")
def soak(t):
    main = t.home.stack()
    hang_order = t.home.new_file("hang")
    extra = {"LD_PRELOAD": str(PROJECT / "build/test/system/hang.so"), "HANG_FILE": str(hang_order)}
    with Stack(t.home, "soak", database=main.conninfo(), extra=extra) as stack:
        loud_phase(t, stack, main, hang_order)
        spared = t.random.sample(sorted(stack.workers()), 2)
        faults = Faults(t, stack, main, spared)
        counts = {fault.__name__: 0 for fault in faults.all}

        def phase(seconds, first=()):
            """Faults under load; then, at rest and with nginx's kept connections closed: memory and descriptors of those left alone."""
            load, began = Load(stack, MIX, connections=100, resend=True), time.monotonic()
            for fault in first:
                fault()
                counts[fault.__name__] += 1
            while time.monotonic() < began + seconds:
                fault = t.random.choice(faults.all)
                fault()
                counts[fault.__name__] += 1
                t.pause(0.5)
            stack.await_health()
            load.goes_on(0.5)
            t.judge(load.stop())
            descriptors = stack.descriptors_at_rest(spared)
            # An idle loop trims its memory half a second later, if this machine lets it.
            return await_steady(lambda: sum(process.memory_kb(pid) for pid in spared), "the memory is what it is at rest"), descriptors
        # All of them once, and a third of the time, are the warm-up.
        before = phase(t.settings.soak_seconds / 3, faults.all)
        after = phase(t.settings.soak_seconds * 2 / 3)
        t.check(set(spared) <= set(stack.workers()), "a worker that nobody touched has ended")
    growth = after[0] / before[0] - 1
    t.check(after[1] <= before[1], f"descriptors went from {before[1]} to {after[1]}")
    # In a short run a page more or less is more than a hundredth.
    t.check(growth < 0.01 or after[0] - before[0] <= 256, f"memory went from {before[0]} to {after[0]} KB")
    t.figure(f"{sum(counts.values())} faults of {len(counts)} kinds in {t.settings.soak_seconds} s; two workers left alone: memory "
             f"{before[0]:,} to {after[0]:,} KB ({growth:+.1%}), descriptors {before[1]} to {after[1]}")
