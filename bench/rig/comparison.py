"""Two results beside each other. Their rounds have nothing in common, so each side is resampled by itself."""
from . import findings, names, summary
from .document import Heading, Items, Paragraph, Table

# Words, figure of a run, what it is called below 1 and above, how it is shown.
FIGURES = (
    ("requests/s", summary.rate_of, "slower", "faster", names.rate),
    ("p99", summary.p99_of, "shorter", "longer", names.duration),
    ("CPU µs a request", summary.cpu_of, "less", "more", lambda value: names.number(value, 1 if value < 10 else 0)),
)
ONE_ROUND = "one round"
# Arguments that decide what is measured and not what comes out.
NO_DOUBT = ("name", "seed", "resume", "scenarios", "peers", "profile")
FEW = names.FEW


# --- what makes it doubtful ---------------------------------------------------------------------------------------------------------

def _differences(name, one, other):
    """Sentences about the members in which two objects differ."""
    one, other = one or {}, other or {}
    for key in sorted(one.keys() | other.keys()):
        if one.get(key) != other.get(key):
            yield f"{name} {key}: {_told(one.get(key))} and {_told(other.get(key))}"


def _told(value):
    return "none" if value is None else "[]" if value == [] else str(value)


def _memory(environment):
    """In GiB: what the kernel says differs by some kB from boot to boot."""
    for line in environment.get("memory") or []:
        words = line.split()
        if words[:1] == ["MemTotal:"] and len(words) > 1 and words[1].isdigit():
            return f"{int(words[1]) / 1048576:.1f} GiB"
    return None


def _facts(result):
    """What should be the same, by its name, the gravest first."""
    env, data = result.data["environment"], result.data
    kernel = env.get("kernel") or {}
    facts = {"CPU": findings.cpu_model(env), "number of CPUs": env.get("cpus"), "kernel": kernel.get("release"),
             "machine": kernel.get("machine"), "memory": _memory(env), "profile": data["profile"]}
    facts |= {f"argument {name}": value for name, value in data["arguments"].items() if name.lower() not in NO_DOUBT}
    for scenario in data["scenarios"]:
        facts |= {f"rounds of {scenario['name']}": scenario["rounds"], f"seconds of {scenario['name']}": scenario["seconds"]}
    return facts


def doubts(a, b):
    """Differences of what the figures depend on, each a sentence."""
    one, other = _facts(a), _facts(b)
    # A scenario that only one has is told where the figures are.
    shared = [name for name in one if name in other or not name.startswith(("rounds of", "seconds of"))]
    found = [f"{name}: {_told(one[name])} and {_told(other.get(name))}" for name in shared if one[name] != other.get(name)]
    found += [f"{name}: none and {_told(value)}" for name, value in other.items() if name not in one and name.startswith("argument")]
    first, second = a.data["environment"], b.data["environment"]
    found += _differences("package", first.get("packages"), second.get("packages"))
    versions = [{system["name"]: system["versions"] for system in result.data["systems"]} for result in (a, b)]
    for system in sorted(versions[0].keys() & versions[1].keys(), key=names.system_rank):
        found += _differences(f"version, {system}:", versions[0][system], versions[1][system])
    found += _differences("kernel setting", first.get("sysctls"), second.get("sysctls"))
    found += _differences("PostgreSQL's", first.get("pg_settings"), second.get("pg_settings"))
    return found + [doubt for letter, result in (("A", a), ("B", b)) for doubt in _own_doubts(letter, result)]


def _own_doubts(letter, result):
    env = result.data["environment"]
    load, cpus = (env.get("load_average") or [0])[0], env.get("cpus") or 1
    if load > 0.5 * cpus:
        yield f"{letter} began on a busy machine: load average {load:.2f} on {findings.counted(cpus, 'CPU')}"
    few = sum(1 < entry["runs"] - entry["void"] < FEW for entry in result.summary)
    if few:
        yield f"{few} of {len(result.summary)} points of {letter} have fewer than {FEW} rounds, from which intervals are too narrow"
    if not result.data["complete"]:
        yield f"{letter} is incomplete: {result.data['incomplete_because'] or 'ended early'}"
    if result.profile == "smoke":
        yield f"{letter} is a smoke run, which claims nothing"
    if env.get("uncommitted"):
        yield f"{letter} was measured with uncommitted changes"


# --- figures ------------------------------------------------------------------------------------------------------------------------

def _values(result, figure):
    """{(point…, system): figures of its valid runs}"""
    groups = summary.group([run for run in result.runs if not run["again"]], lambda run: (*summary.point(run), run["system"]))
    found = {key: list(summary.figures_by_round(runs, figure).values()) for key, runs in groups.items()}
    return {key: values for key, values in found.items() if values}


def _noise(results, figure):
    """{place: factor}, the wider of the two results' noise floors."""
    floors = {}
    for result in results:
        for place, ratio in summary.noise(result.runs, result.seed, figure).items():
            floors[place] = max(floors.get(place, 1.0), summary.factor(ratio))
    return floors


def _judged(ratio, noise, words, rounds):
    if ratio is None:
        return names.NOTHING, "cannot be compared"
    interval = ONE_ROUND if max(rounds) == 1 else names.times_span(ratio["low"], ratio["high"])
    if min(rounds) < summary.ENOUGH:
        return f"{names.times(ratio['median'])} ({interval})", summary.NOT_KNOWN
    low, high = words
    verdict = summary.verdict(ratio, noise)
    verdict = verdict if verdict == summary.NO_DIFFERENCE else low if verdict == "slower" else high
    return f"{names.times(ratio['median'])} ({interval})", verdict


def _kept(a, b, key):
    """Whether both got the rate that was asked for."""
    return all(summary.kept([run for run in result.runs if not run["again"] and (*summary.point(run), run["system"]) == key])
               for result in (a, b))


def rows(a, b):
    """[(place, row)] of every figure that both have: system, at, figure, A, B, B/A, verdict."""
    found = []
    for order, (words, figure, low, high, show) in enumerate(FIGURES):
        mine, theirs = _values(a, figure), _values(b, figure)
        floors = _noise((a, b), figure)
        for key in mine.keys() & theirs.keys():
            scenario, placement, path, step, system = key
            if scenario == "queries":
                continue
            one, other = mine[key], theirs[key]
            ratio = summary.bootstrap_quotient(other, one, summary.generator(a.seed, "compare", b.seed, words, key))
            shown, verdict = _judged(ratio, summary.floor_of(floors, key[:3]), (low, high), (len(one), len(other)))
            verdict = summary.KEPT_THE_RATE if figure is summary.rate_of and ratio and _kept(a, b, key) else verdict
            entry = {"scenario": scenario, "placement": placement, "path": path, "step": dict(step), "system": system}
            found.append(((names.entry_rank(entry), order), key[:3],
                          [system, names.step_text(dict(step)), words, *(show(summary.median(side)) for side in (one, other)), shown,
                           verdict]))
    return [(place, row) for _, place, row in sorted(found, key=lambda one: one[0])]


def _only(result, other):
    """What the other result does not have, by scenario."""
    keys = [{(*summary.point(entry), entry["system"]) for entry in one.summary} for one in (result, other)]
    missing = {}
    for scenario, placement, path, _, system in sorted(keys[0] - keys[1], key=repr):
        missing.setdefault((scenario, placement), set()).add(f"{system} {path}")
    return [f"{scenario}{findings.pinned(placement)}: {', '.join(sorted(what))}" for (scenario, placement), what in missing.items()]


def _count(found):
    verdicts = [row[-1] for _, row in found]
    counts = {word: verdicts.count(word) for word in dict.fromkeys(verdicts)}
    return ", ".join(f"{word} {count}" for word, count in sorted(counts.items(), key=lambda item: -item[1]))


def _name(letter, result):
    commit = result.data["environment"].get("commit")
    start = result.data["started"][:16].replace("T", " ")
    return f"{letter}: {result.name}, profile {result.profile}, of {start} UTC" + (f", commit {commit[:12]}" if commit else "")


def document(a, b):
    yield Heading(1, f"{a.name} (A) and {b.name} (B)")
    yield Items([_name("A", a), _name("B", b)])
    doubtful = doubts(a, b)
    if doubtful:
        yield Heading(2, "What makes this comparison doubtful")
        yield Items(doubtful)
    else:
        yield Paragraph("Machine, versions, settings and profile are the same.")
    found = rows(a, b)
    if not found:
        yield Paragraph("No figure is in both.")
    else:
        yield Paragraph(f"Of {findings.counted(len(found), 'figure')} that both have: {_count(found)}. B/A is the quotient of the medians, "
                        f"with its interval (bootstrap of each side's rounds): a 95 % interval of {FEW} rounds or more, too narrow a one "
                        "of fewer. “No difference” means that the interval holds 1, or that the quotient lies within the wider of the two "
                        f"noise floors; “not known”, that one has fewer than {summary.ENOUGH} rounds; “kept the rate”, that both got what "
                        "they were asked for.")
    for place in dict.fromkeys(place for place, _ in found):
        scenario, placement, path = place
        mine = [row for where, row in found if where == place]
        steps = any(row[1] for row in mine)
        head = ["system", "at", "figure", "A", "B", "B/A (interval)", "verdict"]
        kept = [index for index in range(len(head)) if steps or index != 1]
        yield Heading(2, f"{scenario} {path}{findings.pinned(placement)}")
        texts = tuple(position for position, index in enumerate(kept) if index in (0, 1, 2, 6))
        yield Table("Medians over the rounds", [head[index] for index in kept], [[row[index] for index in kept] for row in mine], texts)
    for letter, lines in (("A", _only(a, b)), ("B", _only(b, a))):
        if lines:
            yield Heading(2, f"Only in {letter}")
            yield Items(lines)
