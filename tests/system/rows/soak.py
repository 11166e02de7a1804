"""All of it at random, for as long as SOAK_SECONDS says."""
import signal
import time

from kit import fastcgi, process
from kit.load import Load
from kit.process import await_steady
from kit.stack import Stack
from kit.trial import row

from .clients import client
from .wrong import WRONG_HTTP, WRONG_RECORDS, judge_http

MIX = {"/index": 700, "/agents": 600, "/agents_with_orm": 400}


class Faults:
    """What may happen at any time; each returns when it has happened. Two workers are left alone, so that their growth can be seen."""

    def __init__(self, t, stack, main, spared):
        self.t, self.stack, self.main, self.spared = t, stack, main, spared
        self.all = [self.kill, self.upgrade_others, self.reload_nginx, self.reload_options, self.restart_postgres, self.end_backends,
                    self.aborts, self.bad_http, self.bad_records, self.lock, self.stop_and_go]

    def _others(self):
        return sorted(set(self.stack.workers()) - set(self.spared))

    def kill(self):
        victim = self.t.random.choice(self._others())
        process.send(victim, signal.SIGKILL)
        self.stack.seconds_until_whole(time.monotonic(), [victim])

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


@row("soak", "mixed load with all of the above at random")
def soak(t):
    main = t.home.stack()
    with Stack(t.home, "soak", database=main.conninfo()) as stack:
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
