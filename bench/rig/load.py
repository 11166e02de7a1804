"""Runs wrk and pgbench, and counts what they cost every component."""
import http.client
import re
import subprocess
import time
from pathlib import Path

from . import process
from .stack import PROJECT, RigError

GOLDEN = PROJECT / "tests/golden"
UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise RigError(f"GET http://127.0.0.1:{port}{path}: {error}") from error
    finally:
        connection.close()


def check_body(port, path, golden):
    """An answer that is not the golden one, byte for byte, must not be measured."""
    status, body = get(port, path)
    if status != 200 or body != (GOLDEN / golden).read_bytes():
        raise RigError(f"http://127.0.0.1:{port}{path} answers {status} with {len(body)} bytes, not what tests/golden/{golden} holds")


def start(words, env=None):
    """A load generator. It dies with the rig."""
    child = subprocess.Popen(process.tied(words, "KILL"), env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    child.args = words
    return child


def start_wrk(url, connections, seconds, timeout="30s", script=None, threads=2):
    words = ["/usr/bin/wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", timeout]
    words += ["-s", str(script)] if script else []
    return start(words + [url])


def finish(child, good=(0,)):
    """Its output; a child that outlives an interrupt is ended, one whose exit status is none of the good ones is an error."""
    try:
        output = child.communicate()[0]
    except BaseException:
        child.kill()
        child.wait()
        raise
    if child.returncode not in good:
        raise RigError(f"{' '.join(child.args)} failed:\n{output.rstrip()}")
    return output


def _number(pattern, text):
    found = re.search(pattern, text, re.MULTILINE)
    return float(found[1]) if found else None


def _microseconds(percentile, text):
    found = re.search(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s|m|h)\s*$", text, re.MULTILINE)
    return float(found[1]) * UNITS[found[2]] if found else None


def _wrk_latency(text):
    """The means and percentiles that wrk gives, in microseconds; None when nothing was answered."""
    found = {f"p{n}": _microseconds(n, text) for n in (50, 75, 90, 99)}
    head = re.search(r"^\s+Latency\s+([\d.]+)(us|ms|s|m|h)\s+[\d.]+(?:us|ms|s|m|h)\s+([\d.]+)(us|ms|s|m|h)", text, re.MULTILINE)
    if head is None or not found["p50"]:
        return None
    return {"mean": float(head[1]) * UNITS[head[2]], **found, "p99_9": None, "max": float(head[3]) * UNITS[head[4]]}


def parse_wrk(text):
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    counts = [int(n) for n in errors.groups()] if errors else [0] * 4
    rate = _number(r"^Requests/sec:\s+([\d.]+)", text)
    if rate is None:
        raise RigError(f"wrk's output is not understood:\n{text}")
    return {"rate": rate, "requests": int(_number(r"^\s*(\d+) requests in", text) or 0),
            "p50_us": _microseconds(50, text), "p99_us": _microseconds(99, text), "latency_us": _wrk_latency(text),
            "non_2xx": int(_number(r"Non-2xx or 3xx responses: (\d+)", text) or 0),
            "socket_errors": dict(zip(("connect", "read", "write"), counts)), "timeouts": counts[3], "raw": text}


def parse_pgbench(text):
    rate = _number(r"^tps = ([\d.]+)", text)
    if rate is None:
        raise RigError(f"pgbench's output is not understood:\n{text}")
    failed = _number(r"^number of failed transactions: (\d+)", text)
    return {"rate": rate, "requests": int(_number(r"actually processed: (\d+)", text) or 0), "p50_us": None, "p99_us": None,
            "non_2xx": int(failed or 0), "socket_errors": {"connect": 0, "read": 0, "write": 0}, "timeouts": 0, "raw": text}


class Wrk:
    """One path of one stack under closed-loop load."""

    def __init__(self, name, stack, path, golden, connections=64):
        self.name, self.stack, self.path, self.golden, self.connections = name, stack, path, golden, connections
        self.parts = {part: stack.pid(part) for part in ("nginx", "pool")}
        if hasattr(stack, "cluster"):
            self.parts["postgres"] = stack.pid("postgres")

    def run(self, seconds):
        check_body(self.stack.port, self.path, self.golden)
        url = f"http://127.0.0.1:{self.stack.port}{self.path}"
        return parse_wrk(finish(start_wrk(url, self.connections, seconds)))


class Pgbench:
    """The same SQL without the service: eight clients on the cluster's own socket."""

    def __init__(self, name, stack, sql):
        self.name, self.stack = name, stack
        self.parts = {"postgres": stack.pid("postgres")}
        self.script = Path(stack.run_dir) / f"{name.replace(' ', '-')}.sql"
        self.sql = sql.rstrip().rstrip(";") + ";\n"
        self.script.write_text(self.sql, encoding="utf-8")

    def run(self, seconds):
        words = ["/usr/lib/postgresql/15/bin/pgbench", "-M", "prepared", "-c", "8", "-j", "2", "-n", "-T", str(seconds),
                 "-f", str(self.script), self.stack.conninfo()]
        return parse_pgbench(finish(start(words, {"PATH": "/usr/bin:/bin"})))


def measure(system, seconds):
    """One run, with CPU microseconds per request of the load generator and every part of the system."""
    before = {part: process.cpu_seconds(pid) for part, pid in system.parts.items()}
    own, stolen = process.children_cpu_seconds(), process.machine_cpu()
    start = time.monotonic()
    result = system.run(seconds)
    result["seconds"] = time.monotonic() - start
    used = {part: process.cpu_seconds(pid) - before[part] for part, pid in system.parts.items()}
    used["client"] = process.children_cpu_seconds() - own
    after = process.machine_cpu()
    result["cpu_us"] = {part: value * 1e6 / max(result["requests"], 1) for part, value in used.items()}
    result["steal"] = (after[0] - stolen[0]) / max(after[1] - stolen[1], 1)
    return result


def faults(result):
    """What went wrong in a run, in words; empty when nothing did."""
    found = [f"{count} {kind} errors" for kind, count in result["socket_errors"].items() if count]
    if not result["requests"]:
        found.append("no answer before its end")
    if result["timeouts"]:
        found.append(f"{result['timeouts']} time-outs")
    if result["non_2xx"]:
        found.append(f"{result['non_2xx']} non-2xx or failed")
    if result.get("steal", 0) > 0.05:
        found.append(f"{result['steal']:.0%} of the CPU stolen")
    return ", ".join(found)
