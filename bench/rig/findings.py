"""What a result says in words. Every figure in these sentences is computed from it; a sentence without figures is left out."""
import functools
import re

from . import names, summary
from .scenario import HEADLINE

CLOSED = "closed-local"
OPEN = "rate-4000"
DJANGO, DJANGO_BEST = "django published", "django best"
CALLED = {DJANGO: "Django as published", DJANGO_BEST: "Django at its best"}


def called(system):
    return CALLED.get(system, system.removesuffix(" best"))


def _times_span(low, high):
    return names.times_span(1 / high, 1 / low) if low > 0 else f"at least {names.times(1 / high)}"


def _errors_of(entry):
    count = sum(entry["errors"].values())
    return f"{count:,} error{'s' if count != 1 else ''}" if count else ""


def answers(entry):
    """Whether anything came back."""
    return entry is not None and entry["rate"] is not None and entry["rate"]["median"] > 0


def rounds(entry):
    return entry["runs"] - entry["void"]


def single(entry):
    return rounds(entry) == 1


def in_brackets(words, entries):
    """A head, with what stands in brackets below it."""
    told = names.interval(map(rounds, entries))
    return f"{words} ({told})" if told else words


def versus(entry, label):
    """The service's rate in times the system's: "2.0 times php-fpm best (1.9–2.1)"; None when the two cannot be compared."""
    if entry is None or entry["rate"] is None:
        return None
    if not answers(entry):
        return f"{label} answered nothing"
    ratio = entry["ratio"]
    if ratio is None or not ratio["median"]:
        return None
    remarks = ["one round" if ratio["rounds"] == 1 else _times_span(ratio["low"], ratio["high"])]
    remarks += [ratio["verdict"]] if ratio["verdict"] == summary.NO_DIFFERENCE else []
    remarks += [f"{ratio['rounds']} rounds only"] if 1 < ratio["rounds"] < summary.ENOUGH else []
    remarks += [f"it had {_errors_of(entry)}"] if _errors_of(entry) else []
    return f"{names.times(1 / ratio['median'])} times {label} ({'; '.join(remarks)})"


def best_peer(result, **where):
    """The entry of the peer with the highest rate, Django as published aside if there is another."""
    peers = [entry for entry in result.entries(**where) if result.kind(entry["system"]) == "peer" and answers(entry)]
    peers = [entry for entry in peers if entry["system"] != DJANGO] or peers
    return max(peers, key=lambda entry: entry["rate"]["median"], default=None)


def _placement(result, scenario):
    measured = sorted({entry["placement"] for entry in result.entries(scenario)}, key=lambda name: names.rank(name, names.PLACEMENTS))
    return measured[0] if measured else None


def queries(result, path):
    """"with one query each", as PostgreSQL counted them."""
    entry = result.entry("queries", system=HEADLINE, path=path)
    count = entry and entry["queries_per_request"]
    if count is None:
        return ""
    return " with one query each" if abs(count - 1) < 0.005 else f" with {count:.2f} queries each"


def throughput(result, path):
    where = {"scenario": CLOSED, "placement": _placement(result, CLOSED), "path": path}
    own = result.entry(**where, system=HEADLINE)
    if not answers(own):
        return None
    best = best_peer(result, **where)
    others = [versus(result.entry(**where, system=name), called(name)) for name in (DJANGO, DJANGO_BEST)]
    if best and best["system"] == DJANGO_BEST:
        others[1] = versus(best, f"the best peer, {called(DJANGO_BEST)}")
    elif best and best["system"] != DJANGO:
        others.append(versus(best, f"the best peer, {called(best['system'])}"))
    if any(others) and (mine := _errors_of(own)):
        others.append(f"with {mine}")
    others = [words for words in others if words]
    tail = " and ".join(filter(None, [", ".join(others[:-1]), *others[-1:]]))
    return f"{path}: {names.rate(own['rate']['median'])} requests/s{queries(result, path)}" + (f", {tail}" if tail else "") + "."


def latency(result, path):
    """At the published rate."""
    where = {"scenario": OPEN, "placement": _placement(result, OPEN), "path": path}
    own = result.entry(**where, system=HEADLINE)
    if not answers(own) or not own["latency_us"]:
        return None
    asked = result.rate_asked(own)
    link = " over the 1 Gb/s link" if result.data["link"] else ""
    text = f"{path} at {names.rate(asked)} requests/s asked for{link}: answered {_within(own, asked)}"
    text += _two(result, own, " from the intended start")
    text += f", with {_errors_of(own)}" if _errors_of(own) else ", without an error" + _of_rounds(own)
    other = result.entry(**where, system=DJANGO)
    if other and not answers(other):
        text += f"; {called(DJANGO)} answered nothing"
    elif other and other["latency_us"]:
        text += f"; {called(DJANGO)}: {_within(other, asked)}{_two(result, other)}"
        text += f", with {_errors_of(other)}" if _errors_of(other) else ""
    return text + "."


def _two(result, entry, since=""):
    """Two percentiles; of a system that left many requests unanswered, how many: the answered ones say nothing about those."""
    lost = summary.unanswered(result.runs_of(entry))
    if lost > summary.SURVIVORS:
        return f"{names.percent(lost)} of the requests had no right answer before the run's end{_end(result, entry)}"
    latency = entry["latency_us"]
    return f"in {names.duration(latency['p50'])} (median) and {names.duration(latency['p99'])} (99th percentile){since}"


def _end(result, entry):
    """How long a run waits for answers, as its command says."""
    command = result.runs_of(entry)[0]["command"]
    after = dict(zip(command, command[1:]))
    if not ("-d" in after and "--timeout" in after):
        return ""
    duration, timeout = (re.sub(r"(?<=\d)(?=[a-z])", " ", after[name]) for name in ("-d", "--timeout"))
    return f" ({duration} and a time-out of {timeout})"


def _of_rounds(entry):
    return " (one round)" if single(entry) else ""


def _within(entry, asked):
    """Whether the rate was kept, when it was not."""
    return f"{names.rate(entry['rate']['median'])} of them a second, " if asked and entry["rate"]["median"] < 0.99 * asked else ""


def limits(result):
    parts = []
    for path, limit, words in (("/index", "null responder", "of what a responder without any work behind the same nginx reaches"),
                               ("/agents", "pgbench", "of what pgbench gets from the same PostgreSQL with the same SQL")):
        entry = result.entry("hops", system=limit, path=path, placement=_placement(result, "hops"))
        if answers(entry) and entry["ratio"] and entry["ratio"]["median"]:
            ratio = entry["ratio"]
            remark = "one round" if single(entry) else _times_span(ratio["low"], ratio["high"])
            parts.append(f"{path} reaches {names.times(1 / ratio['median'])} ({remark}) {words}")
    return "How near the limits: " + ", ".join(parts) + "." if parts else None


def findings(result):
    """The sentences at the head of the report, the most important first. None are made of a profile that claims nothing."""
    if result.profile == "smoke":
        return []
    found = [throughput(result, path) for path in ("/agents", "/agents_with_orm", "/index")]
    found += [latency(result, "/agents"), limits(result)]
    return [text for text in found if text]


# --- where others are faster --------------------------------------------------------------------------------------------------------

# Words, figure of a run, whether more is better.
FIGURES = (
    ("Requests a second", summary.rate_of, True),
    ("Median latency", summary.p50_of, False),
    ("99th percentile of latency", summary.p99_of, False),
    ("CPU time of a request", summary.cpu_of, False),
    ("Memory (PSS)", summary.pss_of, False),
)


def _proven(ratio, more_is_better):
    return ratio["verdict"] == ("faster" if more_is_better else "slower")


def _in_the_median(ratio, more_is_better):
    better = ratio["median"] > 1 if more_is_better else ratio["median"] < 1
    return better and ratio["verdict"] in (summary.NO_DIFFERENCE, summary.NOT_KNOWN)


@functools.cache
def where_others_are_better(result):
    """[(what, scenario and placement, [words of each peer])] of every figure in which a peer beats the service beyond the noise."""
    return _where_others(result, _proven)


@functools.cache
def where_others_may_be_better(result):
    """The same of every figure in which a peer's median is the better one, and nothing proves it."""
    return _where_others(result, _in_the_median)


def _where_others(result, wanted):
    found = []
    for what, figure, more_is_better in FIGURES:
        groups = {}
        for key, ratio in summary.ratios(result.runs, result.seed, figure).items():
            scenario, placement, path, step, system = key
            if result.kind(system) != "peer" or not wanted(ratio, more_is_better):
                continue
            entry = next((one for one in result.entries(scenario, placement=placement, path=path, system=system)
                          if names.step_key(one["step"]) == step), None)
            if entry is None or not answers(entry) and scenario != "queries":
                continue
            interval = "one round" if ratio["rounds"] == 1 else names.times_span(ratio["low"], ratio["high"])
            remarks = interval + (f"; it had {_errors_of(entry)}" if _errors_of(entry) else "")
            place = f"{path}{', ' + names.step_text(dict(step)) if step else ''}"
            groups.setdefault((scenario, placement), []).append((names.entry_rank(entry),
                                                                f"{system} on {place} {names.times(ratio['median'])} ({remarks})"))
        for (scenario, placement), peers in sorted(groups.items(), key=lambda item: item[1][0][0]):
            found.append((what, f"{scenario}{pinned(placement)}", [words for _, words in sorted(peers)]))
    return found


# --- the head -----------------------------------------------------------------------------------------------------------------------

def cpu_model(environment):
    lines = environment.get("lscpu", "").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("Model name")), None)


def pinned(placement):
    return ", pinned" if placement == "pinned" else ""


def counted(count, word):
    return f"{count:,} {word}{'s' if count != 1 else ''}"


def _when(data):
    start, end = data["started"], data["ended"]
    day = start[:10]
    if not end:
        return f"on {day} from {start[11:16]} UTC"
    return f"on {day} from {start[11:16]} to {end[11:16] if end[:10] == day else end[:16].replace('T', ' ')} UTC"


def head(result):
    """What was measured where and when, in one sentence."""
    environment, data = result.data["environment"], result.data
    cpus = environment.get("cpus")
    machine = f"on {counted(cpus, 'CPU')}" if cpus else "on a machine that was not described"
    if cpu_model(environment):
        machine += f" ({cpu_model(environment)})"
    kernel = environment.get("kernel") or {}
    if kernel.get("release"):
        machine += f", {kernel.get('system', 'Linux')} {kernel['release']}"
    kinds = [result.kind(name) for name in {run["system"] for run in result.runs}]
    what = [counted(kinds.count(kind), word) for kind, word in (("service", "form"), ("peer", "peer"), ("limit", "limit")) if kind in kinds]
    if "service" in kinds:
        what[0] += " of this service"
    rounds = max((run["round"] for run in result.runs), default=0)
    commit = environment.get("commit")
    how = f"in {counted(len(result.runs), 'run')} of up to {counted(rounds, 'round')}, profile {data['profile']}"
    return f"Measured {machine}, {_when(data)}: {', '.join(what) or 'nothing'}, {how}" + (f", commit {commit[:12]}" if commit else "") + "."


def _gaps(numbers):
    """["134–148", "150"], the numbers from 1 on that are not there."""
    there = [0, *sorted(numbers)]
    return [f"{before + 1}–{after - 1}" if after - before > 2 else f"{before + 1}"
            for before, after in zip(there, there[1:]) if after - before > 1]


def doubts(result):
    """What must be known before a figure is believed."""
    data, found = result.data, []
    if data["profile"] == "smoke":
        found.append("A smoke run: it shows that the rig works, and claims nothing.")
    if not data["complete"]:
        because = data["incomplete_because"] or "it was ended early, or it still runs"
        found.append(f"Incomplete: {because}. What is missing is not in the tables.")
    for system, reason in data["left_out"].items():
        found.append(f"Left out: {system}: {' '.join(reason.split())}")
    for part in data.get("resumed") or []:
        found.append(f"Interrupted, and resumed at {part['time']} with commit {part['commit'][:12]}.")
    if gaps := _gaps({run["n"] for run in result.runs}):
        found.append(f"Runs are missing from runs.jsonl, whose numbers have gaps: {', '.join(gaps)}.")
    if data["environment"].get("uncommitted"):
        found.append("The project had uncommitted changes.")
    return found


def remarks(result):
    """What the tables show too."""
    data, found = result.data, []
    void = [run for run in result.runs if run["void"] is not None]
    if void:
        # Those that differ in their figures only are told once.
        reasons = summary.group([" ".join(run["void"].split()) for run in void], lambda reason: re.sub(r"[\d.,]*\d", "0", reason))
        words = "; ".join(alike[0] + (f" (and {len(alike) - 1} like it)" if len(alike) > 1 else "") for alike in reasons.values())
        are = "is" if len(void) == 1 else "are"
        found.append(f"{len(void):,} of {counted(len(result.runs), 'run')} {are} void and in no median: {words}.")
    once = [scenario["name"] for scenario in data["scenarios"] if result.entries(scenario["name"])
            and all(entry["runs"] - entry["void"] <= 1 for entry in result.entries(scenario["name"]))]
    if once:
        found.append(f"Measured in one round only, so without intervals, and chance is not excluded: {', '.join(once)}.")
    silent = {}
    for entry in result.summary:
        if entry["rate"] and not entry["rate"]["high"] and entry["scenario"] != "queries":
            silent.setdefault(entry["system"], []).append(f"{entry['path']} in {entry['scenario']}")
    found += [f"No request was answered by {system}: {', '.join(places)}." for system, places in silent.items()]
    found += [f"{note[0].upper()}{note[1:]}." for note in result.notes]
    return found
