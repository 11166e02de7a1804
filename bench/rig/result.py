"""Reads a result's folder. What is wrong with it is said with the file and the place; what comes out can be relied on."""
import gzip
import json
import math
from pathlib import Path

from . import names, summary
from .schema import Schema
from .stack import PROJECT, RigError

RESULTS = PROJECT / "bench/results"
SCHEMA = PROJECT / "bench/result.schema.json"


def available():
    return sorted(path.parent.name for path in RESULTS.glob("*/result.json"))


def _of_a_part(folder):
    """The files of what bench/floors, bench/memory or bench/spread wrote."""
    parts = [part for part in ("floors", "memory", "spread") if (folder / f"{part}.json").is_file()]
    return ", ".join(f"{part}.json, {part}.md" for part in parts)


def find(name):
    """The folder of a result, given as a path or as a name below bench/results."""
    for folder in (Path(name), RESULTS / name):
        if (folder / "result.json").is_file():
            return folder.resolve()
    if files := _of_a_part(Path(name)) or _of_a_part(RESULTS / name):
        why = f"{name} is a result of one of the rig's parts ({files}) and has no result.json: only those of make bench can be read here"
    elif Path(name).is_dir():
        why = f"{name} has no result.json, so it is no result of the rig"
    else:
        why = f"there is no result {name}, neither as a folder nor below bench/results"
    raise RigError(f"{why}; the results below bench/results are: {', '.join(available()) or 'none yet (make bench makes one)'}")


def _refuse(constant):
    raise ValueError(f"{constant} is no JSON")


def _parse(text):
    return json.loads(text, parse_constant=_refuse)


def _read(path, shown):
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise RigError(f"{shown}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RigError(f"{shown} is not UTF-8: {error}") from error


class Result:
    """`data` is result.json, `runs` the lines of runs.jsonl; both are as bench/result.schema.json describes them."""

    def __init__(self, folder, data, runs, notes):
        self.folder, self.data, self.runs, self.notes = folder, data, runs, notes
        self.summary, self.noise = data["summary"], data["noise"]
        self.name, self.profile, self.seed = data["name"], data["profile"], data["seed"]
        self.kinds = {system["name"]: system["kind"] for system in data["systems"]}
        self.missing_histograms = 0

    def entries(self, scenario, **where):
        """Members of the summary, in order; `where` is placement=, path=, system=."""
        return [entry for entry in self.summary
                if entry["scenario"] == scenario and all(entry[name] == value for name, value in where.items())]

    def entry(self, scenario, **where):
        return next(iter(self.entries(scenario, **where)), None)

    def runs_of(self, entry):
        point = summary.point(entry)
        return [run for run in self.runs if not run["again"] and run["system"] == entry["system"] and summary.point(run) == point]

    def scenario(self, name):
        return next((scenario for scenario in self.data["scenarios"] if scenario["name"] == name), None)

    def kind(self, system):
        return self.kinds.get(system, "peer")

    def rate_asked(self, entry):
        asked = [run["rate_asked"] for run in self.runs_of(entry) if run["rate_asked"] is not None]
        return sorted(asked)[len(asked) // 2] if asked else None

    def spectrum(self, entry, which="latency"):
        """[(share of requests, latency in µs), …] from the least to the longest of all rounds together, and the number of requests; from
        the medians of a few percentiles where the histograms are not there. Both are empty when no request was answered."""
        counts, whole = {}, True
        for run in self.runs_of(entry):
            if run["void"] is not None or not run["requests"]:
                continue
            pairs = self._buckets(run, which)
            whole = whole and pairs is not None
            for value, count in pairs or []:
                counts[value] = counts.get(value, 0) + count
        if not whole or not counts:
            self.missing_histograms += not whole
            return self._few_percentiles(entry, which)
        total, below, points = sum(counts.values()), 0, []
        for value in sorted(counts):
            below += counts[value]
            points.append((below / total, value))
        return points, total

    @staticmethod
    def _few_percentiles(entry, which):
        of = entry[f"{which}_us"] or {}
        shares = (("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999))
        return [(share, of[name]) for name, share in shares if of.get(name) is not None], None

    def _buckets(self, run, which):
        """Pairs of value and count, None when there is no such file."""
        if not run["histogram"]:
            return None
        path = (self.folder / run["histogram"]).resolve()
        shown = f"{self.folder.name}/{run['histogram']}"
        if self.folder not in path.parents:
            raise RigError(f"{shown}, of run {run['n']}, lies outside of the result's folder")
        if not path.exists():
            return None
        try:
            with gzip.open(path, "rt", encoding="utf-8") as f:
                buckets = _parse(f.read())[which]["buckets"]
            pairs = [(float(value), int(count)) for value, count in buckets]
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise RigError(f"{shown} is not what pace writes: {error!r}") from error
        if any(value < 0 or not math.isfinite(value) or count < 1 for value, count in pairs):
            raise RigError(f"{shown} is not what pace writes: a bucket of less than nothing")
        return pairs


def _read_runs(folder, data, schema, notes):
    path, shown = folder / "runs.jsonl", f"{folder.name}/runs.jsonl"
    if not path.exists():
        raise RigError(f"{shown} is missing: without the runs there is nothing to report")
    lines, runs = _read(path, shown).split("\n"), []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            run = _parse(line)
        except ValueError as error:
            # What a run that was killed while it wrote leaves behind.
            if number == len(lines) and not data["complete"]:
                notes.append(f"the last line of runs.jsonl ({number}) was cut off and is left out")
                break
            raise RigError(f"{shown}, line {number}: {error}") from error
        fault = schema.fault(run, schema.definition("run"))
        if fault:
            raise RigError(f"{shown}, line {number}: {fault}")
        runs.append(run)
    return runs


def _complete_the_summary(data, runs, notes):
    """A run that was ended at the wrong moment has lines that result.json does not know."""
    counted = sum(entry["runs"] for entry in data.get("summary") or [])
    measured = sum(not run["again"] for run in runs)
    # Of an earlier format, whose verdicts rested on fewer rounds than they need.
    old = any(entry["ratio"] and "rounds" not in entry["ratio"] for entry in data.get("summary") or [])
    if data.get("summary") is None or data.get("noise") is None or counted != measured or old:
        if data.get("summary") and counted != measured:
            notes.append(f"the summary in result.json is of {counted} runs, runs.jsonl has {measured}: it was computed anew")
        data["summary"], data["noise"] = summary.summarise(runs, data["seed"])
    data["summary"].sort(key=names.entry_rank)


def read(name):
    folder = find(name)
    schema, notes = Schema(json.loads(SCHEMA.read_text(encoding="utf-8"))), []
    shown = f"{folder.name}/result.json"
    try:
        data = _parse(_read(folder / "result.json", shown))
    except ValueError as error:
        raise RigError(f"{shown}: {error}") from error
    if isinstance(data, dict) and data.get("schema") not in (None, 1):
        raise RigError(f"{shown}: its format is number {data['schema']}; this bench/report reads 1: use the one of its own commit")
    fault = schema.fault(data)
    if fault:
        raise RigError(f"{shown}: {fault}")
    data = {"incomplete_because": None, "ended": None, "arguments": {}, "left_out": {}, "link": None, "capacity": None, **data}
    data["environment"] = data["environment"] or {}
    runs = _read_runs(folder, data, schema, notes)
    _complete_the_summary(data, runs, notes)
    return Result(folder, data, runs, notes)
