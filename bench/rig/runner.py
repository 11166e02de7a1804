"""Measures scenarios round by round, in random order, and writes the result, also when it ends early."""
import argparse
import itertools
import os
import random
import sys
import time

from . import environment, peers, process, report, summary
from .journal import Journal, find_folder
from .lab import DATABASE_WORKERS, KINDS, Lab
from .scenario import PROFILES, SERVICES, Impossible, Settings
from .stack import PROJECT, Rig, RigError, need

SCHEMA = 1
VOID_STEAL, VOID_LAG_US, VOID_LAG_SHARE = 0.05, 1000, 0.10
# A run that the machine has spoilt is repeated so often.
REPEATS = 1


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def why_void(record):
    """The rules by which a run does not count; None when it does. Errors do not make a run void: they are its result."""
    wrong = record["errors"]["mismatch"] + record["errors"]["malformed"]
    if record["void"]:
        return record["void"]
    if wrong:
        return f"{wrong:,} answers with a wrong body"
    if record["steal"] > VOID_STEAL:
        return f"the machine stole {record['steal']:.1%} of the CPU"
    lag = record["send_lag_us"]
    if lag:
        bound = max(VOID_LAG_US, VOID_LAG_SHARE * (record["latency_us"] or {"p99": 0})["p99"])
        if lag["p99"] > bound:
            return f"the generator sent late: send lag p99 {lag['p99']:,.0f} µs, more than {bound:,.0f} µs"
    return None


class Progress:
    """Lines with the time left: the estimate at first, then corrected by what the runs have really taken."""

    def __init__(self, estimate_s):
        self.estimate_s, self.done_s, self.start = max(estimate_s, 1), 0.0, time.monotonic()

    def left(self):
        remaining = max(self.estimate_s - self.done_s, 0)
        factor = (time.monotonic() - self.start) / self.done_s if self.done_s > 10 else 1
        return remaining * factor

    def say(self, text, cost_s=0.0):
        self.done_s += cost_s
        left = round(self.left())
        print(f"[{min(self.done_s / self.estimate_s, 1):4.0%}, {left // 60}:{left % 60:02d} left] {text}", flush=True)


def figure(record):
    if record["queries_per_request"] is not None:
        return f"{record['queries_per_request']:.2f} queries a request"
    errors = ", ".join(f"{name} {count:,}" for name, count in record["errors"].items() if count)
    latency = record["latency_us"]
    return (f"{record['rate']:,.0f}/s" + (f", p99 {latency['p99'] / 1000:,.1f} ms" if latency and latency["p99"] else "")
            + (f", errors: {errors}" if errors else "") + (f"; void: {record['void']}" if record["void"] else ""))


class Run:
    """One call of the rig."""

    def __init__(self, scenarios, settings, journal, left_out):
        self.scenarios, self.settings, self.journal, self.left_out = scenarios, settings, journal, left_out
        self.states = {s.name: {"status": "skipped", "reason": "not reached"} for s in scenarios}
        self.started, self.because, self.lab = now(), "it was killed, or it still runs", None
        self.seen = {}
        # Scenarios that are left out since they need root: what an ordinary user's run cannot have is no failure of it.
        self.rootless = []

    def measure(self):
        """All scenarios; whatever ends it, the result is written before the error goes on."""
        progress = Progress(sum(s.estimate_s() for s in self.scenarios))
        # Now and after each round: what is killed can be resumed, too.
        self.write()
        try:
            with Rig() as rig:
                self.lab = Lab(rig, self.journal, self.settings)
                for scenario in self.scenarios:
                    self._scenario(scenario, progress)
                self.because = None
        except KeyboardInterrupt:
            self.because = "it was interrupted"
            raise
        except SystemExit:
            self.because = "it was ended by a signal"
            raise
        except RigError as error:
            self.because = str(error)
            raise
        except Exception as error:
            self.because = f"the rig failed: {error!r}"
            raise
        finally:
            self.write()

    def _scenario(self, scenario, progress):
        state = self.states[scenario.name]
        wanted = [(turn, point) for turn in range(1, scenario.rounds + 1) for point in scenario.points()]
        open_ones = [(turn, point) for turn, point in wanted if point.key(scenario.name, turn) not in self.journal.keys]
        cost = scenario.estimate_s() / max(len(wanted), 1)
        progress.done_s += cost * (len(wanted) - len(open_ones))
        if not open_ones:
            state.update(status="measured", reason=None)
            return
        if scenario.needs_root and os.geteuid() != 0:
            self.rootless.append(scenario.name)
            self._skip(scenario, "it needs root: the 1 Gb/s link is made of network namespaces", progress, cost * len(open_ones))
            return
        state.update(status="partial", reason="not all of its runs were made")
        progress.say(f"{scenario.name}: {scenario.title}")
        try:
            with scenario.open(self.lab):
                for turn, points in itertools.groupby(open_ones, key=lambda pair: pair[0]):
                    self._round(scenario, turn, [point for _, point in points], progress, cost)
                    self.write()
        except RigError as error:
            self._skip(scenario, str(error), progress, 0)
            return
        finally:
            self.lab.clear()
        missing = [key for key in (point.key(scenario.name, turn) for turn, point in wanted) if key not in self.journal.keys]
        if not missing:
            state.update(status="measured", reason=None)
        elif self.seen.get(scenario.name):
            state.update(reason="; ".join(self.seen[scenario.name]))

    def _skip(self, scenario, reason, progress, cost_s):
        measured = any(key[0] == scenario.name for key in self.journal.keys)
        self.states[scenario.name].update(status="partial" if measured else "skipped", reason=reason)
        progress.say(f"{scenario.name} is left out: {reason}", cost_s)

    def _round(self, scenario, turn, points, progress, cost_s):
        """In random order, but all points of a system together, since only one system is up at a time."""
        rng = random.Random(f"{self.settings.seed} {scenario.name} {turn}")
        groups = {}
        for point in points:
            groups.setdefault((point.system, point.again, point.step if scenario.by_step else ()), []).append(point)
        for key in rng.sample(sorted(groups, key=repr), len(groups)):
            for point in rng.sample(groups[key], len(groups[key])):
                self._point(scenario, turn, point, progress, cost_s)

    def _point(self, scenario, turn, point, progress, cost_s):
        label = " ".join([f"{scenario.name}, round {turn}/{scenario.rounds}: {point.system}{' again' if point.again else ''} {point.path}",
                          *(f"{name}={value:g}" for name, value in point.step), *(["pinned"] if point.placement == "pinned" else [])])
        if point.system in self.left_out:
            self._note(scenario, f"{point.system} was left out")
            progress.done_s += cost_s
            return
        for attempt in range(REPEATS + 1):
            try:
                record, outputs = scenario.measure(self.lab, point)
            except peers.PeerError as error:
                self.lab.clear()
                self.left_out[point.system] = str(error)
                self._note(scenario, f"{point.system} was left out")
                progress.say(f"{label}: left out: {error}", cost_s)
                return
            except Impossible as error:
                self._note(scenario, f"{label.partition(': ')[2]}: {error}")
                progress.say(f"{label}: not measured: {error}", cost_s)
                return
            record["void"] = why_void(record)
            self.journal.add({"scenario": scenario.name, "round": turn, "placement": point.placement, "system": point.system,
                              "again": point.again, "path": point.path, "step": dict(point.step), **record}, outputs)
            progress.say(f"{label}: {figure(record)}", cost_s if attempt == 0 else 0)
            if not record["void"]:
                return

    def _note(self, scenario, text):
        notes = self.seen.setdefault(scenario.name, [])
        if text not in notes:
            notes.append(text)

    # --- the result -----------------------------------------------------------------------------------------------------------

    def _scenario_entry(self, scenario):
        example = next((run for run in self.journal.runs if run["scenario"] == scenario.name), None)
        return {"name": scenario.name, "title": scenario.title, "question": scenario.question, **self.states[scenario.name],
                "rounds": scenario.rounds, "seconds": scenario.seconds, "published_command": scenario.published_command,
                "command": " ".join(example["command"]) if example else None}

    def _system_entry(self, name, before):
        """`before`: the entry of an earlier part of a resumed run, or None."""
        return {"name": name, "kind": KINDS.get(name, "peer"), "about": self.lab.about(name) if self.lab else (before or {}).get("about", ""),
                "versions": (self.lab and self.lab.versions.get(name)) or (before or {}).get("versions", {})}

    def _when_and_where(self):
        """What a resumed run keeps of its beginning, and what it adds."""
        before, environment_now = self.journal.before, self.lab.environment if self.lab else environment.machine()
        capacity, link = (self.lab.capacity, self.lab.link_description) if self.lab else ({}, None)
        if before is None:
            return {"started": self.started, "resumed": [], "environment": environment_now, "capacity": capacity, "link": link}
        return {"started": before["started"], "environment": before["environment"], "link": link or before["link"],
                "resumed": [*before.get("resumed", []), {"time": self.started, "commit": environment_now["commit"]}],
                "capacity": {**(before["capacity"] or {}), **capacity}}

    def write(self):
        names = list(dict.fromkeys([*SERVICES, *self.settings.peers, *KINDS]))
        present = {run["system"] for run in self.journal.runs}
        sums, noise = summary.summarise(self.journal.runs, self.settings.seed)
        earlier = {system["name"]: system for system in (self.journal.before or {"systems": []})["systems"]}
        self.journal.write_result({
            "schema": SCHEMA, "name": self.journal.folder.name, "profile": self.settings.profile, "complete": self.because is None,
            "incomplete_because": self.because, "seed": self.settings.seed, **self._when_and_where(), "ended": now(),
            "arguments": self.journal.arguments, "scenarios": [self._scenario_entry(s) for s in self.scenarios],
            "systems": [self._system_entry(name, earlier.get(name)) for name in names if name in present], "left_out": self.left_out,
            "summary": sums, "noise": noise})


# --- the command line -----------------------------------------------------------------------------------------------------------


def parse_arguments(known, words):
    p = argparse.ArgumentParser(
        prog="bench/run", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measures this service beside other systems and beside its limits, and writes bench/results/NAME/report.html.",
        epilog="scenarios:\n" + "".join(f"  {name:20} {known[name].title}\n" for name in known)
        + "\nprofiles: smoke (under a minute; shows that the rig works, claims nothing), quick (a quarter of an hour), full (the\n"
          "published durations: hours). Exit status: 0 measured, 1 measured but incomplete, 2 could not measure, 130 interrupted.")
    p.add_argument("--profile", default="quick", help=f"{', '.join(PROFILES)} (quick)")
    p.add_argument("--scenarios", default="all", help="names with commas between; all: those of the profile (all)")
    p.add_argument("--peers", default="", help=f"{', '.join(peers.PEERS)}, with commas between; all or none (all; in smoke none)")
    p.add_argument("--name", default="", help="the result goes to bench/results/NAME (profile and time)")
    p.add_argument("--workers", type=report.positive, default=16, help="of the service (16)")
    p.add_argument("--seed", type=int, default=1, help="of the order and the intervals (1)")
    p.add_argument("--resume", action="store_true", help="go on with the interrupted result NAME")
    p.add_argument("--estimate", action="store_true", help="print how long it would take, and end")
    return p.parse_args(words)


def choose_scenarios(known, args, settings):
    if args.profile not in PROFILES:
        raise RigError(f"PROFILE={args.profile}: there is no such profile; the profiles are: {', '.join(PROFILES)}")
    if args.scenarios in ("", "all"):
        names = [name for name, kind in known.items() if args.profile in kind.in_profiles]
    else:
        names = [name.strip() for name in args.scenarios.split(",") if name.strip()]
        for name in names:
            if name not in known:
                raise RigError(f"SCENARIOS={args.scenarios}: there is no scenario {name}; the scenarios are: {', '.join(known)}")
        names = [name for name in known if name in names]
        if not names:
            raise RigError(f"SCENARIOS={args.scenarios}: names no scenario; the scenarios are: {', '.join(known)}")
    return [known[name](settings) for name in names]


def install(names):
    """{peer: why it cannot be measured}, of those that cannot be installed."""
    left_out = {}
    for name in names:
        print(f"looking for what {name} needs", flush=True)
        try:
            peers.install(name)
        except peers.PeerError as error:
            left_out[name] = str(error)
            print(f"left out: {error}", flush=True)
    return left_out


def duration(seconds):
    hours, minutes = divmod(max(round(seconds / 60), 1), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def main(known, words):
    args = parse_arguments(known, words)
    wanted = peers.parse(args.peers or ("none" if args.profile == "smoke" else "all"))
    systems = [f"{name} {form}" for name in wanted for form in peers.forms(name)]
    settings = Settings(args.profile, tuple(systems), args.workers, args.seed)
    scenarios = choose_scenarios(known, args, settings)
    estimate = sum(s.estimate_s() for s in scenarios)
    print(f"about {duration(estimate)}: {', '.join(s.name for s in scenarios)}", flush=True)
    if args.estimate:
        return 0
    if settings.workers > DATABASE_WORKERS:
        raise RigError(f"--workers {settings.workers}: the rig's database has connections for at most {DATABASE_WORKERS}")
    need("wrk", "nginx", "spawn-fcgi", "multiwatch", "setpriv", "gnuplot", "taskset")
    for program in ("pace", "delay_proxy"):
        if not (PROJECT / "build/bench" / program).exists():
            raise RigError(f"build/bench/{program} is not built: make build/bench/{program}")
    process.raise_file_limit()
    folder = find_folder(args.name, args.profile)
    arguments = {"profile": args.profile, "scenarios": [s.name for s in scenarios], "peers": wanted, "workers": args.workers, "seed": args.seed}
    journal = Journal(folder, arguments, args.resume)
    missing = install(wanted)
    # Not before: an interrupt during the installation leaves no folder.
    journal.make()
    left_out = {f"{name} {form}": reason for name, reason in missing.items() for form in peers.forms(name)}
    run = Run(scenarios, settings, journal, left_out)
    print(f"the result grows in {folder.relative_to(PROJECT)}", flush=True)
    try:
        run.measure()
    finally:
        make_report(folder)
    good = all(state["status"] == "measured" or name in run.rootless for name, state in run.states.items()) and not left_out
    return 0 if good else 1


def make_report(folder):
    """In a process of its own: a report can be made again at any time by `bench/report`."""
    import subprocess
    if not (folder / "runs.jsonl").exists():
        print(f"bench: nothing was measured in {folder.relative_to(PROJECT)}", file=sys.stderr)
        return
    done = subprocess.run([sys.executable, str(PROJECT / "bench/report"), str(folder)], check=False, stdin=subprocess.DEVNULL)
    if done.returncode == 0:
        print(f"report: {folder.relative_to(PROJECT)}/report.html and report.md", flush=True)
