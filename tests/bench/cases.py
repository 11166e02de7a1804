"""What the tests of the rig in Python share: their runner, programs that hold a rig, and looks at what is left of one."""
import contextlib
import inspect
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.dont_write_bytecode = True
PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "bench"))
from rig import process  # noqa: E402


def run(namespace):
    """Runs the functions test_… in their order; the exit status."""
    passed, failed = 0, 0
    for name, test in list(namespace.items()):
        if not name.startswith("test_"):
            continue
        title = name.removeprefix("test_").replace("_", " ")
        try:
            test()
        except Exception:
            failed += 1
            print(f"not ok {title}\n" + "".join(f"    {line}\n" for line in traceback.format_exc().splitlines()), end="", flush=True)
        else:
            passed += 1
            print(f"ok {title}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return failed > 0


def await_(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} for {seconds} s"
        time.sleep(0.02)


class Program:
    """A program of its own that holds a rig. It says how far it is with files in `.told`; its temporary files lie below `.scratch`."""

    def __init__(self, scratch, text, *arguments, before=()):
        self.scratch, self.told = scratch, scratch / "told"
        self.told.mkdir()
        file = scratch / "program.py"
        file.write_text(PREAMBLE + text, encoding="utf-8")
        # Signals as a terminal's programs have them, whatever runs this test.
        words = ["/usr/bin/env", "--default-signal=INT,HUP,TERM", *before, "/usr/bin/python3", "-B", str(file), *arguments]
        self.output = scratch / "output"
        with open(self.output, "wb") as output:
            self.child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=scratch,
                                          env={**os.environ, "TMPDIR": str(scratch / "t"), "PYTHONPATH": str(PROJECT / "bench"),
                                               "TOLD": str(self.told)})

    def wait_for(self, name, seconds=60):
        """The text of what it tells under that name."""
        file = self.told / name
        await_(lambda: file.exists() or self.child.poll() is not None, f"the rig does not tell {name}", seconds)
        assert file.exists(), f"the rig has ended with {self.child.returncode} before it told {name}:\n{self.said()}"
        return file.read_text(encoding="utf-8")

    def said(self):
        return self.output.read_text(encoding="utf-8", errors="replace")

    def send(self, number):
        self.child.send_signal(number)

    def ended(self, seconds=180):
        """Its exit status, once its janitor has ended, too."""
        status = self.child.wait(seconds)
        janitor = self.told / "janitor"
        if janitor.exists():
            await_(lambda: not process.alive(int(janitor.read_text(encoding="ascii"))), "the janitor runs", seconds)
        return status

    def left_nothing(self):
        folders = os.listdir(self.scratch / "t")
        assert folders == [], f"left behind: {folders}\n{self.said()}"
        working = process.working_in(self.scratch / "t")
        assert working == [], f"still running: {working}\n{self.said()}"


# tell() is atomic: what it has told is whole. A program waits as its test does, with await_().
PREAMBLE = '''
import os, pathlib, signal, subprocess, sys, time, types
from rig import load, network, process, stack
from rig.stack import NullStack, Rig, RigError, Stack

def tell(name, text=""):
    file = pathlib.Path(os.environ["TOLD"]) / name
    file.with_suffix(".new").write_text(str(text))
    os.rename(file.with_suffix(".new"), file)

class Rig(Rig):
    def __enter__(self):
        super().__enter__()
        tell("janitor", self.janitor.pid)
        tell("directory", self.directory)
        return self

''' + inspect.getsource(await_)


@contextlib.contextmanager
def program(text, *arguments, **options):
    """A Program that is killed and swept away in the end, if it has not ended by itself."""
    with tempfile.TemporaryDirectory(prefix="rig.") as scratch:
        os.chmod(scratch, 0o711)
        os.mkdir(f"{scratch}/t", 0o711)
        running = Program(Path(scratch), text, *arguments, **options)
        try:
            yield running
        finally:
            if running.child.poll() is None:
                running.send(signal.SIGKILL)
            with contextlib.suppress(Exception):
                running.ended()
            for pid in process.working_in(scratch):
                os.kill(pid, signal.SIGKILL)
