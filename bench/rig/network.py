"""The 1 Gb/s link: two network namespaces, the client's and the server's, joined by a veth pair that sends no faster than tc's tbf lets it.

Each end sends through `tbf rate 1000mbit burst 128kb latency 12ms overhead 24`:
- burst: veth passes on packets as TCP makes them for a network card to cut into frames, up to 64 KB and the headers that tbf counts for
  each frame. tbf lets one pass whole that fits into its bucket, and cuts the others itself, which costs several times the CPU; with the
  offloads switched off (ethtool), two cores that have other work do not even carry 500 Mbit/s. Hence 64 KB for one such packet, and as
  much again for a timer that is up to half a millisecond late. So the link is 1 Gb/s over some milliseconds; a single answer that finds
  the bucket full crosses at once, where a wire takes some 60 µs for 7 KB.
- latency: what waits is at most 1.5 MB, as in a card's queue of 1,000 frames; behind it packets are dropped.
- overhead: a frame's preamble, checksum and gap, so that small frames are as dear as on a wire.
"""
import ipaddress
import itertools
import json
import os
import subprocess
from pathlib import Path

from . import environment, process
from .stack import PROJECT, ROOT, RigError, need

PROBE = PROJECT / "bench/rig/probe.py"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
# Reserved for benchmarks (RFC 2544), for documentation (RFC 5737) and for carriers (RFC 6598): nobody's own network.
NETWORKS = ("198.18.255.252/30", "203.0.113.252/30", "198.51.100.252/30", "100.127.255.252/30")
DEVICE = "link0"
TRIES = 3
LEAST, SAMPLES = 0.9, 2000
SHAPE = "burst 128kb latency 12ms overhead 24"

_numbers = itertools.count(1)
_FREE_PORTS = """
import socket, sys
sockets = [socket.create_server((sys.argv[1], 0)) for _ in range(int(sys.argv[2]))]
print(*(s.getsockname()[1] for s in sockets))
"""
_REMOVE = 'for name; do [ ! -e "/run/netns/$name" ] || ip netns del "$name" || exit; done'
_COPY_SYSCTLS = 'while [ "$#" -ne 0 ]; do printf "%s" "$2" >"/proc/sys/$1" || exit; shift 2; done'


def choose_network():
    """(client's address, server's address) of a network to which this machine has no route, lest a look at them confuses."""
    done = subprocess.run(["ip", "-4", "-json", "route", "show", "table", "all"], env=ENVIRONMENT, capture_output=True, text=True,
                          check=False)
    routed = []
    for route in json.loads(done.stdout or "[]"):
        try:
            routed.append(ipaddress.ip_network(route["dst"], strict=False))
        except (KeyError, ValueError):
            pass  # default, which is no route to anywhere in particular
    for text in NETWORKS:
        network = ipaddress.ip_network(text)
        if not any(network.overlaps(other) for other in routed):
            return tuple(str(address) for address in network.hosts())
    raise RigError(f"the link finds no network for itself: this machine has routes to all of {', '.join(NETWORKS)}")


def choose_names():
    """Two names that no namespace has; a rig with the same process number may have been killed together with its janitor."""
    for number in _numbers:
        names = [f"afb-{os.getpid()}-{number}-{end}" for end in ("client", "server")]
        if not any(os.path.lexists(f"/run/netns/{name}") for name in names):
            return names


class Link:
    """`client` and `server` are the words that bring a command into their namespace: nsenter's, since `ip netns exec` and `ip -netns` would give it a mount
    namespace and a /sys of its own, which not every container allows. verify() before use: nothing is to be measured over a link that is not what it says."""

    def __init__(self, rig, rate_mbit=1000, delay_ms=0.1):
        if not ROOT:
            raise RigError("the 1 Gb/s link needs root, to make network namespaces")
        need("ip", "tc", "nsenter")
        self.rig, self.rate_mbit, self.delay_ms = rig, rate_mbit, delay_ms
        self.client_address, self.server_address = choose_network()
        self.names = choose_names()
        self.client, self.server = (["/usr/bin/nsenter", f"--net=/run/netns/{name}"] for name in self.names)
        self.rates, self.rtt_us = None, None
        self.no_netem = "none was asked for"
        self._remove = ["/bin/sh", "-c", _REMOVE, "sh", *self.names]
        self.clean_up = rig.at_end(self.stop, self._remove, ENVIRONMENT)
        try:
            self._make()
            for enter in (self.client, self.server):
                self._shape(enter)
        except RigError:
            self.stop()
            raise

    def _run(self, words, failure):
        self.rig.run(words.split() if isinstance(words, str) else words, ENVIRONMENT, f"the 1 Gb/s link cannot be made: {failure}")

    def _make(self):
        server = self.names[1]
        for name in self.names:
            self._run(f"ip netns add {name}",
                      "this system lets nobody make network namespaces (a container without CAP_SYS_ADMIN, a kernel without CONFIG_NET_NS)")
        self._run([*self.client, *f"ip link add {DEVICE} type veth peer name {DEVICE} netns {server}".split()],
                  "there is no veth pair (a kernel without CONFIG_VETH)")
        for enter, address in ((self.client, self.client_address), (self.server, self.server_address)):
            self._run([*enter, *f"ip address add {address}/30 dev {DEVICE}".split()], "no address")
            for device in ("lo", DEVICE):
                self._run([*enter, *f"ip link set {device} up".split()], f"{device} does not come up")
        # A new namespace has the kernel's defaults; what the result says of this machine is to be true of both ends.
        values = [word for name in environment.SYSCTLS if name.startswith("net/") and os.path.exists(f"/proc/sys/{name}")
                  for word in (name, Path(f"/proc/sys/{name}").read_text(encoding="ascii").strip())]
        for enter in (self.client, self.server):
            self._run([*enter, "/bin/sh", "-c", _COPY_SYSCTLS, "sh", *values], "the namespaces do not take this machine's settings")

    def _shape(self, enter):
        self._run([*enter, *f"tc qdisc add dev {DEVICE} root handle 1: tbf rate {self.rate_mbit}mbit {SHAPE}".split()],
                  "tc cannot limit the rate (a kernel without CONFIG_NET_SCH_TBF)")
        if not self.delay_ms:
            return
        delay = f"delay {self.delay_ms * 1000:g}us limit 1000"
        try:
            self._run([*enter, *f"tc qdisc add dev {DEVICE} parent 1:1 handle 10: netem {delay}".split()], "no netem")
            self.no_netem = None
        except RigError as error:
            self.no_netem = f"this kernel has no netem (tc: {str(error).splitlines()[-1]})"

    def stop(self):
        """Removes both namespaces. What still runs in one keeps it, without a name, until it ends."""
        self.rig.run(self._remove, ENVIRONMENT, "the link's namespaces cannot be removed")
        self.rig.undone(self.clean_up)

    def free_ports(self, count):
        """Ports that are free at the server's end."""
        words = [*self.server, "/usr/bin/python3", "-I", "-c", _FREE_PORTS, self.server_address, str(count)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise RigError(f"no free ports at the server's end of the link: {done.stderr.strip()}")
        return [int(port) for port in done.stdout.split()]

    # --- is it what it says? --------------------------------------------------------------------------------------------------

    def verify(self, seconds=1.0):
        """Measures both directions and the round trip, and gives describe(); RigError when the link is not what it says. A busy machine may
        make it look slow, so it has three tries."""
        for attempt in range(1, TRIES + 1):
            to_client = self._probe(self.server, self.server_address, self.client, seconds)
            to_server = self._probe(self.client, self.client_address, self.server, seconds)
            self.rates = {"to the client": to_client["mbit"], "to the server": to_server["mbit"]}
            self.rtt_us = to_client["rtt_us"]
            fault = self._fault()
            print(f"link: {self.figures()}" + (f" (try {attempt} of {TRIES}: not what it must be)" if fault else ""), flush=True)
            if not fault:
                return self.describe()
        raise RigError(fault)

    def figures(self):
        rates = ", ".join(f"{rate:.0f} Mbit/s {direction}" for direction, rate in self.rates.items())
        return rates + ", round trip {min:.0f} µs at least, median {median:.0f}, p99 {p99:.0f}".format(**self.rtt_us)

    def _fault(self):
        lowest, highest = LEAST * self.rate_mbit, self.rate_mbit
        for direction, rate in self.rates.items():
            carries = f"the link carries {rate:.0f} Mbit/s {direction}"
            if rate > highest:
                return f"{carries}, more than the {highest:g} that it is set to: tc's tbf does not limit it"
            if rate < lowest:
                return (f"{carries}, less than the {lowest:g} that one of {highest:g} must: this machine's CPUs are too slow, or busy with "
                        "something else")
        if not self.no_netem and self.rtt_us["min"] < 2000 * self.delay_ms:
            return (f"the link's round trip takes {self.rtt_us['min']:.0f} µs, less than twice its delay of {self.delay_ms:g} ms: netem "
                    "does not delay")
        return None

    @staticmethod
    def _probe(sender, address, receiver, seconds):
        """What the receiver's end measures of a sender at the other."""
        python = ["/usr/bin/python3", "-I", str(PROBE)]
        with subprocess.Popen(process.tied([*sender, *python, "serve", address], "KILL"), env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
            try:
                port = server.stdout.readline().strip()
                if not port.isdigit():
                    raise RigError(f"the link cannot be measured: {port} {server.stdout.read().strip()}")
                words = [*receiver, *python, "measure", address, port, str(seconds), str(SAMPLES)]
                done = subprocess.run(process.tied(words, "KILL"), env=ENVIRONMENT, capture_output=True, text=True, timeout=60 + seconds,
                                      check=False, stdin=subprocess.DEVNULL)
            except subprocess.TimeoutExpired as error:
                raise RigError(f"the link cannot be measured: no figures in {error.timeout:.0f} s") from error
            finally:
                server.kill()
        if done.returncode != 0:
            raise RigError(f"the link cannot be measured: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def describe(self):
        """What the result says of the link; the measured figures are None before verify()."""
        delay = f"netem delays each direction by {self.delay_ms:g} ms" if not self.no_netem else f"no delay is added: {self.no_netem}"
        return {"rate_mbit_asked": self.rate_mbit, "rate_mbit_measured": min(self.rates.values()) if self.rates else None,
                "rtt_us": self.rtt_us, "delay_ms_asked": self.delay_ms, "netem": not self.no_netem,
                "how": f"two network namespaces and a veth pair; each end sends through tc's tbf rate {self.rate_mbit}mbit {SHAPE}: up to "
                       f"128 KB may cross at once, and over some milliseconds no more than {self.rate_mbit} Mbit/s; {delay}. Measured "
                       f"between two programs, TCP: {self.figures() if self.rates else 'not yet'}."}
