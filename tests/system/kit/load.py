"""Load from pace: open loop, one process for each path, every body compared; and what came of it."""
import json
import signal
import subprocess
import time

from .process import KitError, await_
from .stack import GOLDEN, PATHS, PROJECT

# What a disturbance is shown under, unless a row says otherwise: requests a second.
MIX = {"/index": 1200, "/agents": 1000, "/agents_with_orm": 800}


class Result:
    """Of one path, or of several added up."""

    def __init__(self, parts):
        self.parts = parts
        self.requests = sum(part["sent"] if part["interrupted"] else part["scheduled"] for part in parts)
        self.answered = sum(part["answered"] for part in parts)
        self.scheduled = sum(part["scheduled"] for part in parts)
        self.resent = sum(part["resent"] for part in parts)
        # Told to end, pace does not send what is due in that moment: no fault of the service's, and what it has sent shows any that is.
        self.unsent = sum(part["unsent"] for part in parts if not part["interrupted"])
        self.errors, self.statuses = {}, {}
        for part in parts:
            for name, count in part["errors"].items():
                self.errors[name] = self.errors.get(name, 0) + count
            for name, count in part["statuses"].items():
                self.statuses[int(name)] = self.statuses.get(int(name), 0) + count
        # A refused connection belongs to no request, and still somebody was turned away.
        self.failed = self.unsent + sum(self.errors.values())
        self.good = self.statuses.get(200, 0) - self.errors.get("mismatch", 0)
        self.seconds = max(part["duration_s"] for part in parts)
        self.told = sum(self.statuses.values())
        self.rate = self.told / self.seconds if self.seconds else 0
        self.max_s = max(part["latency_max_with_failures_us"] for part in parts) / 1e6
        self.p99_ms = max(part["latency"]["p99_us"] for part in parts) / 1e3
        self.p50_ms = max(part["latency"]["p50_us"] for part in parts) / 1e3

    def of(self, path):
        return Result([part for part in self.parts if part["path"] == path])

    def faults(self):
        """The kinds of errors that there were, in words."""
        found = {**self.errors, "unsent": self.unsent}
        words = [f"{count} {name}" for name, count in found.items() if count]
        statuses = [f"{count}x {status}" for status, count in sorted(self.statuses.items()) if status >= 400]
        return ", ".join(words + statuses) or "none"

    def only(self, *statuses):
        """Is every request answered, in full, with one of these? A time-out, a reset or a wrong body is neither."""
        others = sum(count for name, count in self.errors.items() if name != "non_2xx")
        return not others and not self.unsent and set(self.statuses) <= set(statuses)


class Load:
    """
    Runs until stop(), or for `seconds`. A request without an answer after `timeout` seconds counts as lost. `bodies` has the files of
    answers, by path, where the data are not the seed's. A HEAD is what nginx sends on a fresh connection each time.
    """

    def __init__(self, stack, mix=None, seconds=None, connections=48, timeout=30, resend=False, warmup=0.5, expect=True, bodies=None,
                 head=False):
        self.stack, self.seconds = stack, seconds
        self.children, self.files = [], []
        self.mix = mix or MIX
        before = stack.answered()
        for path, rate in self.mix.items():
            file = stack.home.new_file("pace")
            words = [str(PROJECT / "build/bench/pace"), "-c", str(connections), "-R", str(rate), "-d", f"{seconds or 3600}s",
                     "--warmup", f"{warmup}s", "--timeout", f"{timeout}s", "--json", str(file)]
            if expect and PATHS[path] and not head:
                words += ["--expect", str((bodies or {}).get(path, GOLDEN / PATHS[path]))]
            words += ["--resend"] * resend + ["--head"] * head
            self.files.append((path, file))
            self.children.append(stack.home.spawn(words + [stack.url(path)]))
        self.began = time.monotonic()
        self._await_answers(before, dict.fromkeys(self.mix, 1))
        # Each has begun; what is sent from the end of its warm-up on is counted.
        time.sleep(warmup)

    def _await_answers(self, before, wanted):
        """Until so many more of each path were answered with 200. One that has ended says itself why."""
        def are_there():
            if any(child.poll() is not None for child in self.children):
                return True
            now = self.stack.answered()
            return all(now[path] - before[path] >= count for path, count in wanted.items())
        await_(are_there, f"the load is answered: {wanted} more than {before}", every=0.1)

    def goes_on(self, seconds):
        """Lets it run for that long and, on a busy machine, on, until as much as falls due in that time was answered with 200."""
        before = self.stack.answered()
        time.sleep(seconds)
        self._await_answers(before, {path: max(1, int(rate * seconds)) for path, rate in self.mix.items()})

    def lasts(self):
        """Seconds since its start."""
        return time.monotonic() - self.began

    def stop(self):
        """Ends it, but for requests that are under way, and returns what came of all."""
        for child in self.children:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
        return self.result()

    def result(self):
        parts = []
        for child, (path, file) in zip(self.children, self.files):
            try:
                output = child.communicate(timeout=(self.seconds or 0) + 120)[0]
            except subprocess.TimeoutExpired as error:
                child.kill()
                raise KitError("pace does not end") from error
            if child.returncode not in (0, 1):
                raise KitError(f"pace failed: {output.strip()}")
            parts.append({**json.loads(file.read_text(encoding="utf-8")), "path": path})
            file.unlink()
        return Result(parts)


def measure(stack, seconds, mix=None, **options):
    return Load(stack, mix, seconds, **options).result()
