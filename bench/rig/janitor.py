"""The rig's janitor: a process of its own that makes the rig's folder, and ends and removes what the rig leaves behind when it is killed.

The first line on stdout is the folder. Lines of JSON come on stdin: {"number", "argv", "env", "cwd", "deadline"} before a thing is made
that the command `argv` (null: none is needed) undoes, and {"forget": number} when it has been undone. When stdin ends, the janitor runs
what is left, the last first, ends what still works in the folder, and removes it. An orderly rig has left nothing but the folder.
"""
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from . import process


def say(text):
    try:
        print(f"bench: {text}", file=sys.stderr, flush=True)
    except OSError:
        pass  # the terminal has gone with the rig


def listen(stream):
    """The clean-ups that are left when the stream ends, in the order of their making."""
    left = {}
    for line in stream:
        if not line.endswith("\n"):
            break  # killed in the middle of it, so before it made the thing
        entry = json.loads(line)
        if "forget" in entry:
            left.pop(entry["forget"], None)
        else:
            left[entry["number"]] = entry
    return list(left.values())


def run(entry):
    """One clean-up, at most as long as its deadline."""
    words, start = entry["argv"], time.monotonic()
    name = " ".join(words)
    try:
        child = subprocess.Popen(words, cwd=entry["cwd"], env=entry["env"], start_new_session=True, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    except OSError as error:
        say(f"cannot run {name}: {error}")
        return
    try:
        output = child.communicate(timeout=entry["deadline"])[0].rstrip()
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        say(f"{name} has not ended in {entry['deadline']} s")
        return
    seconds = f"{time.monotonic() - start:.1f} s"
    say(f"done in {seconds}: {name}" if child.returncode == 0 else f"failed in {seconds}: {name}\n{output}")


def sweep(folder):
    """Ends what works in the folder or below it: null responders, and what was killed before it could write down what it had started."""
    for number, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        told, end = set(), time.monotonic() + seconds
        while (pids := process.working_in(folder)) and time.monotonic() < end:
            for pid in set(pids) - told:
                say(f"{number.name} to process {pid}, which works in {folder}")
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
                told.add(pid)
            time.sleep(0.05)


def remove(folder):
    """What is ending may still write there for a moment."""
    end = time.monotonic() + 10
    shutil.rmtree(folder, ignore_errors=True)
    while os.path.lexists(folder):
        if time.monotonic() > end:
            say(f"{folder} cannot be removed")
            return
        time.sleep(0.1)
        shutil.rmtree(folder, ignore_errors=True)


def main():
    # Handled and not ignored: the commands that it runs get their defaults back.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    rig = os.pidfd_open(os.getppid())
    try:
        folder = tempfile.mkdtemp(prefix="agents-bench.")
    except OSError as error:
        sys.exit(f"bench: no temporary folder: {error}; set TMPDIR to a folder with some room")
    os.chmod(folder, 0o711)
    print(folder, flush=True)
    left = listen(sys.stdin)
    if left:
        # Once the rig is dead and not just dying, what it was starting has its signal to end (process.tied).
        select.select([rig], [], [], 1)
        say(f"the rig has not ended all that it started in {folder}: the janitor does")
        for entry in reversed(left):
            if entry["argv"]:
                run(entry)
        sweep(folder)
    remove(folder)
    if left:
        say(f"{folder} is removed")


if __name__ == "__main__":
    main()
