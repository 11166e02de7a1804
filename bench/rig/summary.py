"""From runs to what a result says: medians over the rounds, ratios to the service round by round, and the noise floor."""
import random

from . import names
from .scenario import HEADLINE

RESAMPLES = 2_000
TAIL = 0.025
LATENCIES = ("mean", "p50", "p75", "p90", "p99", "p99_9", "max")
# Requests of a run without which a percentile is but the longest of them.
NEEDED = {"p99": 100, "p99_9": 1_000}
# Rounds without which nothing is said about a difference: of two even the widest interval holds the true median every other time.
ENOUGH = 3
# The share of the rate asked for from which on it counts as kept.
KEPT = 0.99
NO_DIFFERENCE, NOT_KNOWN, KEPT_THE_RATE = "no difference", "not known", "kept the rate"


def _median(ordered):
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _resampled(values, rng):
    return _median(sorted(rng.choices(values, k=len(values))))


def median(values):
    return _median(sorted(values))


def percentiles(resampled):
    """The limits that 2.5 % of the resampled figures lie below and above."""
    resampled = sorted(resampled)
    outside = int(len(resampled) * TAIL)
    return resampled[outside], resampled[-1 - outside]


def bootstrap(values, rng, resamples=RESAMPLES):
    """The median with its 95 % interval (percentile bootstrap), None of nothing. One value has no interval: low = high = median."""
    if not values:
        return None
    middle = median(values)
    if len(values) == 1:
        return {"median": middle, "low": middle, "high": middle}
    low, high = percentiles([_resampled(values, rng) for _ in range(resamples)])
    return {"median": middle, "low": low, "high": high}


def bootstrap_quotient(over, under, rng, resamples=RESAMPLES):
    """median(over) / median(under) of two samples that belong to no common rounds; None when the one below is nothing."""
    if not over or not under or not median(under):
        return None
    middle = median(over) / median(under)
    if len(over) == len(under) == 1:
        return {"median": middle, "low": middle, "high": middle}
    quotients = []
    for _ in range(resamples):
        below = _resampled(under, rng)
        quotients.append(_resampled(over, rng) / below if below else float("inf"))
    low, high = percentiles(quotients)
    return {"median": middle, "low": low, "high": high}


def generator(seed, *words):
    """Of random numbers for one figure, so that it does not depend on which others are computed."""
    return random.Random(f"{seed} {words!r}")


def factor(ratio):
    """How far from 1 an A/A interval reaches, either way, as a factor: 0.95 to 1.02 gives 1.053."""
    ends = (ratio["low"], ratio["high"])
    return max(max(end, 1 / end) if end > 0 else float("inf") for end in ends)


def verdict(ratio, noise=1.0):
    """In words, of a ratio and the factor that lies within the noise."""
    if ratio["low"] <= 1 <= ratio["high"] or 1 / noise <= ratio["median"] <= noise:
        return NO_DIFFERENCE
    return "slower" if ratio["median"] < 1 else "faster"


def floor_of(floors, where):
    """The factor of a place; of one without A/A pairs the widest that there is, for nothing shows that it is quieter there."""
    return floors.get(where, max(floors.values(), default=1.0))


def kept(runs):
    """Whether open loops got what was asked of them; False of closed ones, in which nothing is asked."""
    shares = [run["rate"] / run["rate_asked"] for run in runs if run["void"] is None and run["rate"] is not None and run["rate_asked"]]
    return bool(shares) and median(shares) >= KEPT


# A larger share of requests without a right answer leaves percentiles of the survivors, which say little about all.
SURVIVORS = 0.01


def unanswered(runs):
    """The share of an open loop's requests that got no right answer before the end of the run; 0 of closed ones."""
    runs = [run for run in runs if run["void"] is None and run["rate_asked"]]
    # A connection that fails is no request.
    lost = sum(count for run in runs for name, count in run["errors"].items() if name != "connect")
    return lost / (lost + sum(run["requests"] for run in runs)) if lost else 0.0


def _asked(runs):
    return {run["rate_asked"] for run in runs}


def verdict_of_rates(mine, base, ratio, noise):
    """Of an open loop only a rate that was not kept can be judged, and only by one that the same was asked of."""
    if kept(mine) and (kept(base) or _asked(mine) != _asked(base)):
        return KEPT_THE_RATE
    return NOT_KNOWN if _asked(mine) != _asked(base) else verdict(ratio, noise)


def place(run):
    """Where the noise floor is the same."""
    return run["scenario"], run["placement"], run["path"]


def point(run):
    """What is compared between systems."""
    return (*place(run), names.step_key(run["step"]))


def group(runs, key):
    groups = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return groups


def figures_by_round(runs, value):
    """{round: figure} of the runs that are not void and have the figure; of a round that was repeated, the last."""
    found = {run["round"]: value(run) for run in runs if run["void"] is None}
    return {turn: figure for turn, figure in found.items() if figure is not None}


def _quotients(over, under):
    return [figure / under[turn] for turn, figure in sorted(over.items()) if under.get(turn)]


def noise(runs, seed, value):
    """{(scenario, placement, path): ratio} of the A/A pairs: the second of a system in a round to the first, of all systems and steps."""
    quotients = {}
    pairs = group(runs, lambda run: (*point(run), run["system"]))
    for mine in pairs.values():
        again = figures_by_round([run for run in mine if run["again"]], value)
        first = figures_by_round([run for run in mine if not run["again"]], value)
        quotients.setdefault(place(mine[0]), []).extend(_quotients(again, first))
    return {where: bootstrap(found, generator(seed, "noise", where)) for where, found in quotients.items() if found}


def ratios(runs, seed, value, to=HEADLINE):
    """{(point…, system): {"to", "rounds", "median", "low", "high", "verdict"}} of every system but `to`, where both have the figure in
    a round."""
    floors = {where: factor(ratio) for where, ratio in noise(runs, seed, value).items()}
    found = {}
    for at, there in group([run for run in runs if not run["again"]], point).items():
        systems = group(there, lambda run: run["system"])
        own = systems.pop(to, [])
        base = figures_by_round(own, value)
        for system, mine in systems.items():
            quotients = _quotients(figures_by_round(mine, value), base)
            ratio = bootstrap(quotients, generator(seed, "ratio", at, system))
            if ratio:
                noise_there = floor_of(floors, place(mine[0]))
                judged = verdict_of_rates(mine, own, ratio, noise_there) if value is rate_of else verdict(ratio, noise_there)
                judged = judged if len(quotients) >= ENOUGH or judged == KEPT_THE_RATE else NOT_KNOWN
                found[(*at, system)] = {"to": to, "rounds": len(quotients), **ratio, "verdict": judged}
    return found


def rate_of(run):
    return run["rate"]


def p50_of(run):
    return (run["latency_us"] or {}).get("p50")


def p99_of(run):
    return (run["latency_us"] or {}).get("p99") if run["requests"] >= NEEDED["p99"] else None


def cpu_of(run):
    """Of all components together, the load generator's left out: it is no part of a system. A run without an answer has none."""
    parts = {part: us for part, us in (run["cpu_us"] or {}).items() if part != "client"}
    return sum(parts.values()) if parts and run["requests"] else None


def pss_of(run):
    return sum(run["pss_kb"].values()) if run["pss_kb"] else None


def _medians(found, members):
    """Member by member, of the objects in which it stands; None when there is no object."""
    found = [one for one in found if one]
    medians = {}
    for member in members or dict.fromkeys(name for one in found for name in one):
        values = [one[member] for one in found if one.get(member) is not None]
        medians[member] = _rounded(median(values)) if values else None
    return medians if found else None


def _rounded(value):
    """Seven significant digits: more than is measured, and no tails of 0.1 + 0.2."""
    return float(f"{value:.7g}")


def _rounded_members(members):
    return {name: _rounded(value) if isinstance(value, float) else value for name, value in members.items()} if members else None


def _entry(mine, ratio, seed):
    valid = [run for run in mine if run["void"] is None]
    answered = [run for run in valid if run["requests"]]
    rates = list(figures_by_round(mine, rate_of).values())
    queries = [run["queries_per_request"] for run in valid if run["queries_per_request"] is not None]
    scenario, placement, path = place(mine[0])
    system, step = mine[0]["system"], mine[0]["step"]
    return {
        "scenario": scenario, "placement": placement, "path": path, "step": step, "system": system,
        "runs": len(mine), "void": len(mine) - len(valid),
        "rate": _rounded_members(bootstrap(rates, generator(seed, "rate", point(mine[0]), system))),
        "min": min(rates, default=None), "max": max(rates, default=None),
        "ratio": _rounded_members(ratio),
        **{member: _medians([run[member] for run in answered], LATENCIES) for member in ("latency_us", "service_us", "send_lag_us")},
        "cpu_us": _medians([run["cpu_us"] for run in answered], ()) or {},
        "pss_kb": _medians([run["pss_kb"] for run in valid], ()),
        # Of void runs too: a run must not lose its errors by being void because of them.
        "errors": {name: sum(run["errors"][name] for run in mine) for name in mine[0]["errors"]},
        "queries_per_request": _rounded(median(queries)) if queries else None,
    }


def summarise(runs, seed):
    """("summary", "noise") of result.json. Void runs are counted, and their errors are, but no other figure of theirs; the second runs of
    A/A pairs are in the noise only."""
    found = ratios(runs, seed, rate_of)
    groups = group([run for run in runs if not run["again"]], lambda run: (*point(run), run["system"]))
    entries = [_entry(mine, found.get(key), seed) for key, mine in groups.items()]
    floors = [{"scenario": scenario, "placement": placement, "path": path, "ratio": _rounded_members(ratio)}
              for (scenario, placement, path), ratio in noise(runs, seed, rate_of).items()]
    floors.sort(key=lambda floor: names.entry_rank({"step": {}, "system": "", **floor}))
    return sorted(entries, key=names.entry_rank), floors
