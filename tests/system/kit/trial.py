"""The place where everything happens, a trial of one row, and the table of rows."""
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from .process import KitError, in_folder
from .stack import Stack

ROWS = []


class Skip(Exception):
    """This machine cannot run the row; the text says what it would need."""


class Row:
    def __init__(self, name, happens, action):
        self.name, self.happens, self.action = name, happens, action


def row(name, happens):
    """Enters a function of a trial into the table."""
    def enter(action):
        ROWS.append(Row(name, happens, action))
        return action
    return enter


class Settings:
    """How long and how often; from the environment, as make passes it on."""

    def __init__(self, environment):
        self.seconds = self._number(environment, "SYSTEM_SECONDS", 4, 2, 3600)
        self.injections = self._number(environment, "INJECTIONS", 6, 1, 10000)
        self.soak_seconds = self._number(environment, "SOAK_SECONDS", 30, 10, 7 * 86400)
        self.seed = self._number(environment, "SEED", int(time.time()) % 1000000, 0, 10**9)
        self.strict = environment.get("STRICT_TIMES", "") not in ("", "0")
        self.complete = environment.get("COMPLETE") == "1"
        self.worker = environment.get("WORKER") or "build/agents-fcgi"

    @staticmethod
    def _number(environment, name, default, lowest, highest):
        text = environment.get(name) or str(default)
        if not text.isdigit() or not lowest <= int(text) <= highest:
            raise KitError(f"{name}={text}: must be a whole number from {lowest} to {highest}, as in make test-system {name}={default}")
        return int(text)


class Home:
    """A temporary folder and what runs in it; leaving the block ends and removes all of it, whatever happened."""

    def __init__(self, settings):
        self.settings, self.worker = settings, settings.worker
        self.ends, self.children, self.kept = [], [], {}
        self.files, self.latest = 0, None

    def __enter__(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _leave)
        self.directory = Path(tempfile.mkdtemp(prefix="agents-fcgi-system.", dir="/run" if os.geteuid() == 0 else None))
        # The unprivileged users of a stack pass through.
        self.directory.chmod(0o711)
        return self

    def __exit__(self, *_):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self.end_children()
        for action in reversed(self.ends):
            try:
                action()
            except (KitError, OSError, subprocess.SubprocessError) as error:
                print(f"system: {error}", flush=True)
        for pid in in_folder(self.directory):
            print(f"system: process {pid} was left in {self.directory}", flush=True)
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def at_end(self, action):
        self.ends.append(action)

    def new_file(self, name):
        self.files += 1
        return self.directory / f"{name}.{self.files}"

    def spawn(self, words, **options):
        """A child that is ended at the end of the row, if it has not ended by then."""
        child = subprocess.Popen(words, **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT,
                                           "text": True, "start_new_session": True, **options})
        self.children.append(child)
        return child

    def end_children(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout):
                if stream:
                    stream.close()
        self.children.clear()

    def stack(self):
        """The stack that most rows share: four workers with every default, and a PostgreSQL of its own."""
        if "main" not in self.kept:
            self.kept["main"] = Stack(self, "main")
        return self.kept["main"]

    def undisturbed(self):
        """What the usual load looks like on it when nothing happens; measured once."""
        from .load import measure
        if "undisturbed" not in self.kept:
            self.kept["undisturbed"] = measure(self.stack(), max(3, self.settings.seconds // 2))
        return self.kept["undisturbed"]


def _leave(number, _):
    raise SystemExit(128 + number)


class Trial:
    """What a row reports to."""

    def __init__(self, home, name):
        self.home, self.settings = home, home.settings
        # The same seed gives the same times and victims, also when the row runs alone.
        self.random = random.Random(f"{home.settings.seed}/{name}")
        self.failures, self.figures, self.times = [], [], []
        self.checks = 0

    def check(self, truth, what):
        self.checks += 1
        if not truth:
            self.failures.append(what)

    def time(self, truth, what):
        """A time that a busy machine can break."""
        if self.settings.strict:
            self.check(truth, f"{what} (STRICT_TIMES)")
        elif not truth:
            self.times.append(f"{what} (not asserted: STRICT_TIMES is off)")

    def figure(self, text):
        self.figures.append(text)

    def judge(self, result):
        """Every request was answered with 200 and the right body; a figure says how many."""
        self.check(result.failed == 0, f"{result.failed} of {result.requests} requests failed: {result.faults()}")
        self._judge_load(result)
        self.figure(f"{result.failed} of {result.requests:,} requests failed, {result.rate:,.0f} a second")

    def _judge_load(self, result):
        """Was there one? Half of what fell due, which a busy machine allows: a generator whose connections all wait sends nothing."""
        self.check(result.good > 0 and result.told >= result.scheduled / 2,
                   f"there was no load: of {result.scheduled} requests that fell due {result.told} were answered, {result.good} with 200")

    def judge_statuses(self, result, *statuses):
        """Every request was answered, in full, with 200 and the right body or with one of `statuses`."""
        self.check(result.only(200, *statuses), f"some of {result.requests} requests got none of {(200, *statuses)}: {result.faults()}")
        self._judge_load(result)

    def ratio_of_p99(self, result, path, undisturbed=None):
        """Beside the undisturbed run; 1 ms of each is the machine's. The median stays where it was, roughly, on any machine."""
        before, after = (undisturbed or self.home.undisturbed()).of(path), result.of(path)
        ratio = (after.p99_ms + 1) / (before.p99_ms + 1)
        self.figure(f"p99 of {path} {ratio:.1f} times undisturbed")
        self.time(ratio <= 2, f"p99 of {path} went from {before.p99_ms:.1f} to {after.p99_ms:.1f} ms")
        self.check(after.p50_ms <= 25 * before.p50_ms + 50,
                   f"half of {path} took more than {after.p50_ms:.1f} ms, undisturbed {before.p50_ms:.1f} ms")
        return ratio

    def pause(self, mean):
        """A random time before an injection, `mean` seconds on average."""
        time.sleep(self.random.uniform(0.3, 1.7) * mean)


def in_threads(action, items):
    """Runs action(item) for all at once; the first exception is raised here."""
    failures = []

    def one(item):
        try:
            action(item)
        except Exception as error:
            failures.append(error)
    threads = [threading.Thread(target=one, args=(item,), daemon=True) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
