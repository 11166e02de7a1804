"""Many clients at once, and whether the machine's limits allow them."""
import math
import resource
from pathlib import Path

from rig import process
from rig.scenario import SERVICES, Impossible, Point, Scenario

PATH = "/agents"
# What a program has open beside its connections.
OTHER_FILES = 128
# How much more than its even share of the clients a process of nginx may get: they all accept from one socket.
UNEVEN = 1.25


class LadderConnections(Scenario):
    name = "ladder-connections"
    title = "Closed loop with more and more connections"
    question = "What happens to throughput, latency and errors when thousands of clients ask at once?"
    by_step = True
    # Many connections need the first seconds to open.
    profiles = {
        "smoke": {"rounds": 1, "seconds": 1, "steps": (50,), "systems": SERVICES[:1], "peers": False},
        "quick": {"rounds": 1, "seconds": 8, "steps": (50, 400, 2_000, 10_000), "systems": SERVICES, "peers": False},
        "full": {"rounds": 3, "seconds": 30, "steps": (50, 400, 2_000, 10_000), "systems": SERVICES, "peers": True},
    }
    in_profiles = ("full",)

    def points(self):
        systems = (*self.values["systems"], *(self.settings.peers if self.values["peers"] else ()))
        return [Point.at(system, PATH, connections=step) for system in systems for step in self.values["steps"]]

    def measure(self, lab, point):
        connections = dict(point.step)["connections"]
        open_files_here = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if reason := (too_few_files("wrk", connections + OTHER_FILES, open_files_here, connections)
                      or too_few_ports(connections, local_ports())):
            raise Impossible(reason)
        # A new one for each step: the clients that another step has left in a full backlog would be served first.
        target = lab.system(point.system, fresh=True)
        if reason := too_few_for_nginx(target.parts.get("nginx"), connections):
            raise Impossible(reason)
        return lab.wrk(target, point, connections=connections, seconds=self.seconds, threads=12)


def too_few_files(program, needed, limit, connections):
    """The reason why a step is left out, or None."""
    if limit == resource.RLIM_INFINITY or needed <= limit:
        return None
    enough = max(needed, 2 * connections + OTHER_FILES)
    return (f"too few file descriptors for a ladder step: {connections:,} connections need {needed:,} open files in {program}, and its "
            f"limit is {limit:,}: raise it where make bench is started (as root ulimit -n {enough}, or nofile in "
            "/etc/security/limits.conf)")


def nginx_needs(connections, processes):
    """Open files of one process: each client may have a connection to the pool, too."""
    most = min(math.ceil(connections / processes * UNEVEN), connections)
    return 2 * most + OTHER_FILES


def too_few_for_nginx(master, connections):
    """The same of its processes; `master` is None where there is no nginx."""
    workers = process.leaves(master) if master else []
    if not workers:
        return None
    return too_few_files("a process of nginx", nginx_needs(connections, len(workers)), min(open_files(pid) for pid in workers), connections)


def open_files(pid):
    """The limit of another process; of one that has ended since, none."""
    try:
        lines = Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()
    except OSError:
        return math.inf
    value = next(line for line in lines if line.startswith("Max open files")).split()[3]
    return math.inf if value == "unlimited" else int(value)


def local_ports():
    low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()
    return int(high) - int(low) + 1


def too_few_ports(connections, ports):
    """All connections go from one address to one port, so each needs a local port of its own."""
    if connections <= ports:
        return None
    return (f"too few local ports for a ladder step: {connections:,} connections from one address to one port need as many, and "
            f"net.ipv4.ip_local_port_range has {ports:,}: widen it, as in sysctl net.ipv4.ip_local_port_range='10000 65535'")
