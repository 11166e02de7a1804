"""Processes seen through /proc, and waiting with a deadline."""
import os
import time

# How long a condition may take on a busy machine before a row gives up. Never the time that it is expected to take.
PATIENCE_S = 60


class KitError(Exception):
    """What keeps a row from going on; it fails with this text."""


def await_(condition, what, seconds=PATIENCE_S, every=0.02):
    """Waits until the condition holds and returns its value; how long that took is the caller's to measure."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise KitError(f"waited {seconds} s in vain: {what}")
        time.sleep(every)


def await_steady(number, what, still_s=1, within=0):
    """Waits until a number has not moved by more than `within` for `still_s`, and returns it."""
    value, since = number(), time.monotonic()

    def is_steady():
        nonlocal value, since
        now = number()
        if abs(now - value) > within:
            value, since = now, time.monotonic()
        return time.monotonic() - since >= still_s
    await_(is_steady, what, every=0.05)
    return value


def _stat(pid):
    """The fields of /proc/PID/stat from the third (state) on, or None."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rpartition(") ")[2].split()
    except OSError:
        return None


def state(pid):
    """Its letter in ps; None when there is no such process."""
    fields = _stat(pid)
    return fields[0] if fields else None


def alive(pid):
    return state(pid) not in (None, "Z", "X")


def children(pid):
    """Its running children."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
                found += [int(word) for word in f.read().split()]
    except OSError:
        pass
    return [child for child in found if alive(child)]


def send(pid, number):
    """A signal to a process that may have ended meanwhile."""
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


def in_folder(folder):
    """The processes whose working directory is the folder or below it, as all parts of a stack have."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                where = os.readlink(f"/proc/{name}/cwd").removesuffix(" (deleted)")
            except OSError:
                continue
            if f"{where}/".startswith(f"{folder}/") and alive(int(name)):
                found.append(int(name))
    return found


def descriptors(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def most_descriptors(pid):
    """Its soft limit."""
    with open(f"/proc/{pid}/limits", encoding="ascii") as f:
        return next(line.split()[3] for line in f if line.startswith("Max open files"))


def connections(port):
    """How many there are to a port of this machine: the server's ends."""
    with open("/proc/net/tcp", encoding="ascii") as f:
        ends = (line.split()[1:4] for line in f)
        return sum(local.endswith(f":{port:04X}") and state == "01" for local, _, state in ends)


def memory_kb(pid):
    """What it has written to: heap, stacks, its own copies of pages. Not what it shares with the others, however many those are."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
            for line in f:
                if line.startswith("Anonymous:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def cpu_seconds(pid):
    fields = _stat(pid)
    return sum(int(n) for n in fields[11:13]) / os.sysconf("SC_CLK_TCK") if fields else 0.0
