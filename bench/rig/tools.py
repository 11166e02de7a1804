"""wrk, pace and pgbench: their command lines, and what they print as one kind of record."""
import json
import os
from pathlib import Path

from . import load
from .stack import PROJECT, RigError

PACE = PROJECT / "build/bench/pace"
PGBENCH = "/usr/lib/postgresql/15/bin/pgbench"
ERRORS = ("connect", "read", "write", "timeout", "non_2xx", "mismatch", "malformed", "unsent")
LATENCIES = ("mean", "p50", "p75", "p90", "p99", "p99_9", "max")


def _run(words, good=(0,)):
    child = load.start(list(map(str, words)), {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"})
    return load.finish(child, good)


def _errors(**counts):
    return {name: counts.get(name, 0) for name in ERRORS}


def _of_histogram(histogram):
    return {name: histogram[f"{name}_us"] for name in LATENCIES} if histogram["count"] else None


def wrk(url, *, connections, seconds, threads, timeout_s=30, before=(), script=()):
    """A closed loop: `connections` clients, each of which waits for its answer before it asks again."""
    words = ["wrk", f"-t{min(threads, connections)}", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", f"{timeout_s}s",
             *(["-s", str(script[0])] if script else []), url, *(["--", *script[1:]] if script else [])]
    text = _run([*before, *words])
    found = load.parse_wrk(text)
    return {"tool": "wrk", "command": words, "requests": found["requests"], "rate": found["rate"], "rate_asked": None,
            "errors": _errors(**found["socket_errors"], timeout=found["timeouts"], non_2xx=found["non_2xx"]),
            "latency_us": found["latency_us"], "service_us": None, "send_lag_us": None}, {"txt": text}


def pace(url, *, rate, connections, seconds, warmup_s=1, timeout_s=30, expect, before=()):
    """An open loop: requests start when they are due, however the server does. `expect` is the file with the body that must come."""
    output = Path(expect).with_name("pace.json")
    words = ["pace", "-R", f"{rate:g}", "-c", str(connections), "-d", f"{seconds}s", "--warmup", f"{warmup_s}s", "--timeout", f"{timeout_s}s",
             "--latency", "--expect", str(expect), url]
    text = _run([*before, str(PACE), *words[1:-1], "--json", str(output), url], good=(0, 1))
    try:
        found = json.loads(output.read_text(encoding="utf-8"))
        os.unlink(output)
    except (OSError, ValueError) as error:
        raise RigError(f"pace has left no figures ({error}):\n{text.rstrip()}") from error
    # Where the file with the expected body lies is nobody's business later.
    words[words.index("--expect") + 1] = Path(expect).name
    found["command"] = words
    return {"tool": "pace", "command": words, "requests": found["answered"], "rate": found["rate_achieved"], "rate_asked": rate,
            "errors": _errors(**found["errors"], unsent=found["unsent"]), "latency_us": _of_histogram(found["latency"]),
            "service_us": _of_histogram(found["service"]), "send_lag_us": _of_histogram(found["send_lag"])}, \
        {"txt": text, "json": json.dumps(found, separators=(",", ":"))}


def pgbench(script, conninfo, *, clients, seconds, before=()):
    """The same SQL, prepared, without the service."""
    words = ["pgbench", "-M", "prepared", "-c", str(clients), "-j", "2", "-n", "-T", str(seconds), "-f", Path(script).name]
    text = _run([*before, PGBENCH, *words[1:-1], str(script), conninfo])
    found = load.parse_pgbench(text)
    return {"tool": "pgbench", "command": words, "requests": found["requests"], "rate": found["rate"], "rate_asked": None,
            "errors": _errors(non_2xx=found["non_2xx"]), "latency_us": None, "service_us": None, "send_lag_us": None}, {"txt": text}
