"""Processes seen through /proc: trees, CPU time, memory, what they read."""
import os
import resource

TICKS = os.sysconf("SC_CLK_TCK")


def _stat(pid):
    """The fields of /proc/PID/stat from the third (state) on, or None."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rpartition(") ")[2].split()
    except OSError:
        return None


def tree(root):
    """The pid and its running descendants."""
    children = {}
    for name in os.listdir("/proc"):
        fields = _stat(name) if name.isdigit() else None
        if fields and fields[0] not in "ZX":
            children.setdefault(int(fields[1]), []).append(int(name))
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += children.get(pid, [])
    return found


def leaves(root):
    """The descendants without the root: a pool's workers, a server's processes."""
    return [pid for pid in tree(root) if pid != root]


def working_in(folder):
    """The running processes whose working directory is the folder or lies below it, but those at a terminal: somebody has a look there."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            here = os.readlink(f"/proc/{name}/cwd").removesuffix(" (deleted)")
        except OSError:
            continue
        fields = _stat(name)
        if f"{here}/".startswith(f"{folder}/") and fields and fields[0] not in "ZX" and fields[4] == "0":
            found.append(int(name))
    return found


def tied(words, end="TERM"):
    """The words that run a command which gets the signal `end` when this program ends, however that happens (strictly: when the thread that
    starts it ends). What it starts itself is not tied. It does not begin when this program has ended before it could be tied."""
    return ["/usr/bin/setpriv", "--pdeathsig", end, "/bin/sh", "-c", '[ "$PPID" = "$1" ] && shift && exec "$@"', "sh", str(os.getpid()),
            *map(str, words)]


def alive(pid):
    fields = _stat(pid)
    return fields is not None and fields[0] not in "ZX"


def cpu_seconds(root):
    """User and system time of the tree. Reaped children count in their parent, so that one which ends meanwhile is not lost."""
    total = 0
    for pid in tree(root):
        fields = _stat(pid)
        if fields:
            total += sum(int(n) for n in fields[11:15])
    return total / TICKS


def own_cpu_seconds(pid):
    fields = _stat(pid)
    return sum(int(n) for n in fields[11:13]) / TICKS if fields else 0.0


def children_cpu_seconds():
    """Of this program's children that have been waited for: wrk and pgbench."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def memory_kb(pid):
    """The lines of smaps_rollup: {"Pss": …, "Rss": …, "Private_Dirty": …}."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        next(f)
        return {name: int(value.split()[0]) for name, value in (line.split(":") for line in f)}


def bytes_read(pid):
    """What read() has returned so far. recv() is not in it, so of a worker this is what libfcgi has parsed."""
    with open(f"/proc/{pid}/io", encoding="ascii") as f:
        return int(f.readline().split()[1])


def open_sockets(pid):
    count = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            count += os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:")
        except OSError:
            pass
    return count


def machine_cpu():
    """(stolen, all) CPU ticks of the machine."""
    with open("/proc/stat", encoding="ascii") as f:
        ticks = [int(n) for n in f.readline().split()[1:9]]
    return ticks[7], sum(ticks)


def raise_file_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
