"""python3 synthetic.py FOLDER [SEED]: writes a result of the rig that nobody has measured, as test data: all scenarios and systems, with a
void run, a system that was left out, errors, A/A pairs and a system that answered nothing. The same seed makes the same files."""
import gzip
import json
import math
import random
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
from rig import summary  # noqa: E402

OFF, ON = "agents-fcgi share=off", "agents-fcgi share=on"
PATHS = ("/index", "/agents", "/agents_with_orm")
ERRORS = ("connect", "read", "write", "timeout", "non_2xx", "mismatch", "malformed", "unsent")
# Requests a second by path; microseconds of CPU by component and path; kB by component.
RATES = {
    OFF: (34000, 14000, 11700), ON: (33000, 16500, 14800), "django published": (2800, 340, 225), "django best": (4800, 2200, 1100),
    "php-fpm best": (13300, 5700, 4700), "aiohttp best": (33600, 7150, 5650), "fastify best": (37700, 6500, 5300),
    "nginx return 200": (58000,) * 3, "nginx static file": (52000,) * 3, "null responder": (36000, 34000, 33000),
    "pgbench": (0, 26000, 21000),
}
CPU = {
    OFF: {"nginx": (25, 37, 38), "app": (15, 41, 49), "postgres": (0.1, 42, 48)},
    ON: {"nginx": (26, 36, 39), "app": (16, 35, 42), "postgres": (0.1, 22, 24)},
    "django published": {"app": (427, 1225, 2263), "postgres": (196, 4503, 6506)},
    "django best": {"app": (325, 590, 901), "postgres": (4, 156, 134)},
    "php-fpm best": {"nginx": (56, 89, 97), "app": (61, 133, 182), "postgres": (0.2, 88, 98)},
    "aiohttp best": {"app": (42, 194, 248), "postgres": (0.1, 59, 73)},
    "fastify best": {"app": (34, 199, 265), "postgres": (0.1, 64, 70)},
    "nginx return 200": {"nginx": (9,) * 3}, "nginx static file": {"nginx": (12,) * 3},
    "null responder": {"nginx": (24, 25, 25), "app": (7, 7, 8)}, "pgbench": {"postgres": (0, 35, 43)},
}
PSS = {
    OFF: {"nginx": 14000, "app": 25000, "postgres": 110000}, ON: {"nginx": 14000, "app": 24000, "postgres": 90000},
    "django published": {"app": 310000, "postgres": 60000}, "django best": {"app": 120000, "postgres": 70000},
    "php-fpm best": {"nginx": 14000, "app": 60000, "postgres": 110000}, "aiohttp best": {"app": 88000, "postgres": 80000},
    "fastify best": {"app": 190000, "postgres": 80000},
}
SERVICES = (OFF, ON)
PEERS = ("django published", "django best", "php-fpm best", "aiohttp best", "fastify best")
LIMITS = ("nginx return 200", "nginx static file", "null responder", "pgbench")
SCENARIOS = {
    "closed-local": ("The published closed loop", "How many requests a second, with 400 clients that wait for each other's answers?",
                     "wrk"),
    "rate-4000": ("The published fixed rate of 4,000 a second", "How long do requests take when they come at 4,000 a second?", "pace"),
    "rate-10": ("The published fixed rate of 10 a second", "How long does a request take on an idle machine?", "pace"),
    "hops": ("Hops", "What does each part of the way cost?", "wrk"),
    "ladder-rate": ("Latency against rate", "From which share of the capacity on do latencies rise?", "pace"),
    "ladder-connections": ("Connections", "What do more connections cost?", "wrk"),
    "ladder-rows": ("Rows", "How does throughput fall with the number of agents?", "wrk"),
    "ladder-workers": ("Workers", "How many workers are best?", "wrk"),
    "slow-db": ("A slow database", "What if the database answers 5 ms later?", "wrk"),
    "queries": ("Queries", "How many queries does a request cause?", "count"),
}
PUBLISHED = {"closed-local": "wrk -t12 -c400 -d30s http://127.0.0.1:8004/agents",
             "rate-4000": "wrk2 -t12 -c400 -d5m -R 4000 http://192.168.2.100:8004/agents",
             "rate-10": "wrk2 -t10 -c10 -d30s -R 10 http://192.168.2.100:8004/agents"}


def points(systems):
    """(scenario, system, path, step, placement, again, rate asked) of one round."""
    services = [name for name in systems if name in SERVICES]
    others = [name for name in systems if name not in LIMITS]
    for placement in ("unpinned", "pinned"):
        for system in others:
            yield from (("closed-local", system, path, {}, placement, False, None) for path in PATHS)
        yield from (("closed-local", OFF, path, {}, placement, True, None) for path in PATHS)
    for system in others:
        yield from (("rate-4000", system, path, {}, "unpinned", False, 4000) for path in PATHS)
        yield from (("rate-10", system, path, {}, "unpinned", False, 10) for path in PATHS)
    yield from (("hops", system, "/index", {}, "unpinned", False, None) for system in systems if system in LIMITS[:2])
    yield from (("hops", system, path, {}, "unpinned", False, None) for system in (*services, "null responder") if system in systems
                for path in PATHS)
    yield from (("hops", "pgbench", path, {}, "unpinned", False, None) for path in PATHS[1:] if "pgbench" in systems)
    best = [name for name in others if name.endswith(" best")]
    for system in (*services, *best):
        for path in PATHS[:2] if system in SERVICES else PATHS[1:2]:
            shares = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9)
            able = RATES[system][PATHS.index(path)]
            yield from (("ladder-rate", system, path, {"rate_share": share}, "unpinned", False, round(share * able))
                        for share in shares)
        yield from (("ladder-connections", system, "/agents", {"connections": n}, "unpinned", False, None) for n in (50, 400, 2000, 10000))
        yield from (("ladder-rows", system, path, {"rows": n}, "unpinned", False, None) for n in (50, 500, 5000, 50000)
                    for path in PATHS[1:])
        yield from (("slow-db", system, "/agents", {"connections": n, "delay_ms": ms}, "unpinned", False, None)
                    for n in (16, 400) for ms in (0, 5))
    for system in services:
        yield from (("ladder-workers", system, "/agents", {"workers": n}, "unpinned", False, None) for n in (1, 2, 4, 8, 16, 32))
        yield from (("queries", system, path, {}, "unpinned", False, None) for path in PATHS[1:])


def capacity(system, path, step):
    rate = RATES[system][PATHS.index(path)]
    if "rows" in step:
        return rate / (1 + (step["rows"] / 50 - 1) * 0.55)
    if "workers" in step:
        return rate * (1 - math.exp(-step["workers"] / 1.5)) * (1.15 - 0.004 * step["workers"])
    if step.get("delay_ms"):
        return rate if system == ON else min(rate, 16 / (step["delay_ms"] / 1000 + 0.0011))
    if "connections" in step:
        return rate * (1 - 0.05 * math.log10(step["connections"] / 50))
    return rate


def bucket(value):
    """The largest value of the bucket of pace that holds a value."""
    value = max(1, int(value))
    if value < 2048:
        return value
    width = 1 << (value.bit_length() - 11)
    return value // width * width + width - 1


def histogram(values):
    counts = {}
    for value in sorted(bucket(value) for value in values):
        counts[value] = counts.get(value, 0) + 1
    ordered, total = sorted(values), len(values)
    return {"count": total, "mean_us": sum(ordered) / total, "stdev_us": 1.0, "min_us": int(ordered[0]),
            **{f"{name}_us": bucket(ordered[min(total - 1, int(total * share))]) for name, share in
               (("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99_9", 0.999), ("p99_99", 0.9999))},
            "max_us": int(ordered[-1]), "buckets": [list(pair) for pair in counts.items()]}


def in_short(of):
    return {name: of[f"{name}_us"] for name in ("mean", "p50", "p75", "p90", "p99", "p99_9", "max")}


class Maker:
    def __init__(self, seed, seconds):
        self.rng, self.seconds = random.Random(seed), seconds

    def latencies(self, base_us, load, overload_s, count):
        rng = self.rng
        wide = 0.25 + 0.5 * load
        values = [base_us / (1.02 - min(load, 0.98)) * rng.lognormvariate(0, wide) for _ in range(count)]
        stall = rng.uniform(5, 40) * base_us
        for index in rng.sample(range(count), max(1, count // 400)):
            values[index] += rng.uniform(0, stall)
        return [value + overload_s * 1e6 * rng.random() for value in values]

    def run(self, scenario, system, path, step, placement, again, asked):
        rng = self.rng
        able = capacity(system, path, step) * rng.lognormvariate(0, 0.03) * (0.9 if placement == "pinned" else 1)
        own_us = max(sum(cpu[PATHS.index(path)] for cpu in CPU[system].values()), 5)
        run = {"rate_asked": asked, "requests": 0, "errors": dict.fromkeys(ERRORS, 0), "latency_us": None, "service_us": None,
               "send_lag_us": None}
        outputs = {}
        if asked:
            rate = min(asked, able)
            late = max(0.0, self.seconds * (1 - able / asked))
            # As many as a test wants to wait for.
            count = max(40, min(4000, int(rate * self.seconds)))
            parts = {"latency": self.latencies(own_us * 4, min(asked / able, 0.98), late, count),
                     "service": self.latencies(own_us * 3, min(asked / able, 0.9) / 2, 0, count),
                     "send_lag": [rng.uniform(10, 90) for _ in range(count)]}
            parts = {name: histogram(values) for name, values in parts.items()}
            run |= {f"{name}_us": in_short(of) for name, of in parts.items()} | {"requests": count}
            run["errors"]["timeout"] = int(late * asked / 20)
            outputs["json"] = json.dumps({"schema": 1, **parts})
            run |= {"tool": "pace", "command": ["pace", "-R", str(asked), "-c", "400" if asked > 100 else "10", "-d", f"{self.seconds}s",
                                                "--expect", "expect.json", "http://127.0.0.1:8004" + path]}
        elif scenario == "queries":
            rate = None
            run |= {"tool": "count", "command": ["GET", path], "requests": 1600}
        else:
            rate, connections = able, step.get("connections", 400)
            wait = connections / able * 1e6
            values = [wait * rng.lognormvariate(0, 0.4) for _ in range(1000)]
            run |= {"tool": "wrk",
                    "command": ["wrk", "-t12", f"-c{connections}", f"-d{self.seconds}s", "--latency", "http://127.0.0.1:8004" + path],
                    "latency_us": {**in_short(histogram(values)), "p99_9": None, "max": None}}
            if system == "pgbench":
                run |= {"tool": "pgbench", "command": ["pgbench", "-M", "prepared", "-c", "8"], "latency_us": None}
        requests = run["requests"] or int(rate * self.seconds)
        counts = rate is None
        cpu = {part: round(us[PATHS.index(path)] * rng.lognormvariate(0, 0.05), 2) for part, us in CPU[system].items()}
        pss = {part: int(kb * rng.lognormvariate(0, 0.02)) for part, kb in PSS.get(system, {}).items()}
        run |= {"requests": requests, "rate": None if counts else round(rate, 2),
                "cpu_us": {} if counts else {"client": round(rng.uniform(17, 25), 2), **cpu},
                "pss_kb": None if counts else pss or None,
                "seconds": self.seconds + 0.01, "steal": round(rng.uniform(0, 0.004), 4), "void": None,
                "queries_per_request": None if scenario != "queries" else 1.0 if system == OFF else 0.21}
        return run, outputs


def unanswered(run):
    """As a system that gives nobody an answer."""
    run |= {"requests": 0, "rate": 0.0, "latency_us": None, "service_us": None, "send_lag_us": None, "cpu_us": {}}
    run["errors"]["timeout"] = 400
    run["errors"]["connect"] = 12


def environment(**changes):
    return {"time": "2026-11-29T08:00:00Z", "load_average": [0.02, 0.10, 0.12], "cpus": 2,
            "kernel": {"system": "Linux", "node": "bench", "release": "6.1.0-28-amd64", "version": "#1 SMP", "machine": "x86_64",
                       "processor": ""},
            "lscpu": "Architecture:  x86_64\nModel name:   Example 9000 <b>\nFlags: fpu vme de",
            "memory": ["MemTotal: 8000000 kB", "MemFree: 6000000 kB"],
            "packages": {"nginx": "1.22.1-9", "postgresql-15": "15.20-0", "wrk": "4.1.0-3"},
            "commit": "0123456789abcdef0123456789abcdef01234567",
            "uncommitted": [], "worker": "agents-fcgi 0.1.0", "sysctls": {"net.core.somaxconn": "4096", "vm.overcommit_memory": "0"},
            "pg_settings": {"max_connections": "100", "shared_buffers": "16384"}, **changes}


def scenario_member(name, rounds, seconds, runs):
    title, question, _ = SCENARIOS[name]
    mine = [run for run in runs if run["scenario"] == name]
    return {"name": name, "title": title, "question": question, "status": "measured" if mine else "skipped",
            "reason": None if mine else "the kernel lets nobody make network namespaces here", "rounds": rounds, "seconds": seconds,
            "published_command": PUBLISHED.get(name), "command": " ".join(mine[0]["command"]) if mine else None}


def make(folder, seed=1, *, systems=(*SERVICES, *PEERS, *LIMITS), scenarios=tuple(SCENARIOS), rounds=5, seconds=3, left_out=True,
         silent="fastify best", void=True, noise=True, because=None, profile="quick", faster=1.0, env=None):
    """`silent`: answers nothing in rate-4000. `faster`: a factor of the service's rates. `because`: why it is incomplete."""
    folder = Path(folder)
    (folder / "raw").mkdir(parents=True)
    maker, runs = Maker(seed, seconds), []
    todo = [point for point in points(systems) if point[0] in scenarios and (noise or not point[5])]
    for turn in range(1, rounds + 1):
        for scenario, system, path, step, placement, again, asked in maker.rng.sample(todo, len(todo)):
            run, outputs = maker.run(scenario, system, path, step, placement, again, asked)
            if system in SERVICES and scenario != "queries":
                run["rate"] = round(run["rate"] * (1 if asked else faster), 2)
            if scenario == "rate-4000" and system == silent:
                unanswered(run)
            if scenario == "closed-local" and system == "django published":
                run["errors"]["read"], run["errors"]["timeout"] = 13, 131
            number = len(runs) + 1
            files = {}
            for ending, member in (("txt", "raw"), ("json", "histogram")):
                text = outputs.get(ending, "Running a test @ nowhere\n" if ending == "txt" else None)
                files[member] = f"raw/{number:04d}.{ending}.gz" if text else None
                if text:
                    (folder / files[member]).write_bytes(gzip.compress(text.encode(), mtime=0))
            runs.append({"n": number, "scenario": scenario, "round": turn, "placement": placement, "system": system, "again": again,
                         "path": path,
                         "step": step, "started": 1764403200.0 + number * (seconds + 1), **run, **files})
    if void:
        one = next(run for run in runs
                   if run["scenario"] == scenarios[0] and run["round"] == rounds and run["system"] == OFF and not run["again"])
        one["void"] = "7 % of the CPU was stolen"
    write(folder, runs, systems, scenarios, {"seed": seed, "rounds": rounds, "seconds": seconds, "profile": profile, "because": because,
                                             "left_out": left_out, "environment": environment(**(env or {}))})
    return folder


def write(folder, runs, systems, scenarios, asked):
    (folder / "runs.jsonl").write_text("".join(json.dumps(run) + "\n" for run in runs), encoding="utf-8")
    entries, noise = summary.summarise(runs, asked["seed"])
    kinds = {**dict.fromkeys(SERVICES, "service"), **dict.fromkeys(PEERS, "peer"), **dict.fromkeys(LIMITS, "limit")}
    result = {
        "schema": 1, "name": folder.name, "profile": asked["profile"], "complete": asked["because"] is None,
        "incomplete_because": asked["because"],
        "seed": asked["seed"], "started": "2026-11-29T08:00:00Z", "ended": "2026-11-29T08:12:34Z",
        "arguments": {"profile": asked["profile"], "peers": ["django"], "workers": 16},
        "scenarios": [scenario_member(name, asked["rounds"], asked["seconds"], runs) for name in scenarios],
        "systems": [{"name": name, "kind": kinds[name],
                     "about": f"What {name} is: a <system> with *stars*, a_b and | bars, at http://127.0.0.1:8004/.",
                     "versions": {"package": "1.0-2"} if kinds[name] == "peer" else {}} for name in systems],
        "left_out": {"tornado best": "tornado: does not come up:\nImportError: no module <tornado>"} if asked["left_out"] else {},
        "link": {"rate_mbit_asked": 1000, "rate_mbit_measured": 948.2, "rtt_us": {"min": 18, "median": 31, "p99": 77},
                 "delay_ms_asked": None,
                 "netem": False, "how": "two network namespaces with a veth pair, tc tbf on both ends"},
        "capacity": {f"{name} /agents": RATES[name][1] for name in systems if name in SERVICES},
        "environment": asked["environment"], "summary": entries, "noise": noise}
    (folder / "result.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    make(sys.argv[1], int(sys.argv[2]) if len(sys.argv) == 3 else 1)
