"""What the pictures of a result show. A scenario without figures has none."""
import math

from . import names, plots, summary
from .names import COLOURS, COMPONENT_NAMES, COMPONENTS, MARKS, OTHER_COLOUR
from .plots import Axis, Bar, Line, Panel
from .scenario import HEADLINE

# On top of a bar that would leave the others no room: how much longer than the service's own it may be.
LONGEST = 4


def colour(system):
    return COLOURS.get(system, OTHER_COLOUR)


def placements(result, scenario):
    """[(placement, ending of a picture's name, words for a title), …]: unpinned first, and only what was measured."""
    measured = {entry["placement"] for entry in result.entries(scenario)}
    words = {"unpinned": ("", ""), "pinned": ("-pinned", ", load generator on a CPU of its own")}
    return [(placement, *words[placement]) for placement in sorted(measured, key=lambda name: names.rank(name, names.PLACEMENTS))]


def paths(entries):
    return sorted({entry["path"] for entry in entries}, key=names.path_rank)


def command_words(result, scenario):
    """wrk -t12 -c400 -d30s, without the URL and what only scripts care for."""
    described = result.scenario(scenario)
    if not described or not described["command"]:
        return scenario
    words, kept, skip = described["command"].split(), [], False
    for word in words:
        if skip or word.startswith("http://") or word == "--latency":
            skip = False
            continue
        if word in ("--timeout", "--expect", "--json", "--warmup"):
            skip = True
            continue
        kept.append(word)
    return " ".join(kept)


def error_text(entry):
    count = sum(entry["errors"].values())
    return f", {count:,} error{'s' if count != 1 else ''}" if count else ""


def rate_bar(entry, label=None):
    rate = entry["rate"]
    if rate is None:
        return Bar(label or entry["system"], 0, "void, no figure" if entry["void"] else "no figure", colour(entry["system"]))
    if not rate["high"]:
        return Bar(label or entry["system"], 0, "no answer" + error_text(entry), colour(entry["system"]))
    has_interval = entry["runs"] - entry["void"] > 1
    text = names.rate(rate["median"]) + (f" ({names.span(rate['low'], rate['high'])})" if has_interval else "") + error_text(entry)
    low, high = (rate["low"], rate["high"]) if has_interval else (None, None)
    return Bar(label or entry["system"], rate["median"], text, colour(entry["system"]), low, high)


def medians(entries, whiskers=True):
    """The beginning of a caption: what the figures are of."""
    counts = [entry["runs"] - entry["void"] for entry in entries]
    told = names.interval(counts)
    if told is None:
        return "Measured once. "
    return f"Medians over the rounds; in brackets, and as whiskers, {told}. " if whiskers else "Medians over the rounds. "


# --- throughput, cost, memory -------------------------------------------------------------------------------------------------------

def throughput(result):
    for placement, ending, words in placements(result, "closed-local"):
        entries = result.entries("closed-local", placement=placement)
        panels = [Panel(path, [rate_bar(entry) for entry in entries if entry["path"] == path]) for path in paths(entries)]
        yield plots.bars(f"throughput{ending}", f"Requests a second: {command_words(result, 'closed-local')}, loopback{words}",
                         f"{medians(entries)}Longer is better. Each path has a scale of its own.",
                         panels, "requests a second")


def _stacked_panels(entries, member, divisor, excluded=()):
    """A panel for each path: components stacked. A bar that is many times as long as the service's is shortened, and says so."""
    panels = []
    for path in paths(entries):
        rows = []
        for entry in entries:
            parts = {part: value / divisor for part, value in (entry[member] or {}).items() if value is not None}
            if entry["path"] != path or not parts:
                continue
            order = sorted(parts, key=lambda part: names.rank(part, COMPONENTS))
            total = sum(value for part, value in parts.items() if part not in excluded)
            beside = sum(value for part, value in parts.items() if part in excluded)
            text = names.number(total, 1 if total < 10 else 0) + (f" + {beside:,.0f}" if beside else "")
            rows.append(Bar(entry["system"], total + beside, text, colour(entry["system"]),
                            parts=[(COMPONENTS.get(part, OTHER_COLOUR), parts[part]) for part in order]))
        if rows:
            panels.append(Panel(path, _shortened(rows)))
    return panels


def _shortened(rows):
    own = next((row.value for row in rows if row.label == HEADLINE), None) or sorted(row.value for row in rows)[len(rows) // 2]
    within = max((row.value for row in rows if row.value <= LONGEST * own), default=own)
    for row in rows:
        if row.value > LONGEST * own:
            share = 1.1 * within / row.value
            row.parts = [(shade, value * share) for shade, value in row.parts]
            row.text += " (shortened)"
            row.value, row.short = 1.1 * within, True
    return rows


def _component_legend(entries, member):
    present = {part for entry in entries for part in entry[member] or {}}
    return [(COMPONENTS.get(part, OTHER_COLOUR), COMPONENT_NAMES.get(part, part))
            for part in sorted(present, key=lambda part: names.rank(part, COMPONENTS))]


CPU_CAPTION = ("The sum of the system's own components, + what the load generator took beside them. Shorter is "
               "better. A shortened bar, with a gap in it, shows the shares of its parts, and not by its length what they take.")


def cpu(result):
    for placement, ending, words in placements(result, "closed-local"):
        entries = [entry for entry in result.entries("closed-local", placement=placement) if entry["cpu_us"]]
        panels = _stacked_panels(entries, "cpu_us", 1, ("client",))
        if panels:
            yield plots.bars(f"cpu{ending}", f"CPU time of a request, by component{words}",
                             medians(entries, False) + CPU_CAPTION,
                             panels, "microseconds of CPU a request", legend=_component_legend(entries, "cpu_us"), digits_in_bars=True)


def memory(result):
    for placement, ending, words in placements(result, "closed-local")[:1]:
        entries = [entry for entry in result.entries("closed-local", placement=placement) if entry["pss_kb"]]
        shown = paths(entries)
        path = "/agents" if "/agents" in shown else (shown or [None])[0]
        entries = [entry for entry in entries if entry["path"] == path]
        panels = _stacked_panels(entries, "pss_kb", 1024)
        if panels:
            yield plots.bars(f"memory{ending}", f"Memory (PSS) after a run on {path}, by component{words}",
                             f"{medians(entries, False)}Shared pages are counted in parts (proportional set size), so that the sum is "
                             "what is taken.",
                             [Panel("", panels[0].rows)], "MiB", legend=_component_legend(entries, "pss_kb"), digits_in_bars=True)


# --- hops, slow database ------------------------------------------------------------------------------------------------------------

HOPS = ("nginx return 200", "nginx static file", "null responder")


def hop_rank(entry):
    """From nginx alone to the whole service; what is beyond the service's part, PostgreSQL by itself, comes last."""
    system, path = entry["system"], entry["path"]
    if system in HOPS:
        return (HOPS.index(system), names.path_rank(path))
    if system == "pgbench":
        return (9, names.path_rank(path))
    if path == "/index":
        return (3, names.system_rank(system))
    return (4, names.path_rank(path), system == HEADLINE, names.system_rank(system))


def hops(result):
    for placement, ending, words in placements(result, "hops"):
        entries = sorted(result.entries("hops", placement=placement), key=hop_rank)
        labels = [entry["system"] if entry["system"] in HOPS[:2] else f"{entry['system']} {entry['path']}" for entry in entries]
        rows = [rate_bar(entry, label) for entry, label in zip(entries, labels)]
        yield plots.bars(f"hops{ending}", f"What each hop leaves: requests a second{words}",
                         f"{medians(entries)}From nginx by itself through an answer without work behind FastCGI to the whole service, "
                         "and last what PostgreSQL answers to the same SQL without any of it.",
                         [Panel(command_words(result, "hops"), rows)], "requests a second")


def slow_db(result):
    for placement, ending, words in placements(result, "slow-db"):
        entries = result.entries("slow-db", placement=placement)
        panels = {}
        for entry in entries:
            delay = {name: value for name, value in entry["step"].items() if name == "delay_ms"}
            rest = names.step_text({name: value for name, value in entry["step"].items() if name != "delay_ms"})
            title = f"{entry['path']}{', ' if rest else ''}{rest}"
            label = f"{entry['system']}, {names.step_text(delay)}" if delay else entry["system"]
            panels.setdefault(title, []).append(rate_bar(entry, label))
        panels = [Panel(title, rows) for title, rows in panels.items()]
        yield plots.bars(f"slow-db{ending}", f"Requests a second before a database that answers later{words}",
                         f"{medians(entries)}With sharing, requests that wait for the same query get its one result.", panels,
                         "requests a second")


# --- latencies ----------------------------------------------------------------------------------------------------------------------

NINES = [(0, "0 %"), (1, "90 %"), (2, "99 %"), (3, "99.9 %"), (4, "99.99 %")]


def thinned(points, total, most):
    """[(nines, latency)] of a spectrum, at most about 60 points a decade, up to `most` nines. A request stands in the middle of its share,
    so that the longest of all has a place."""
    half, found, before = 0.5 / total if total else 0, [], -1.0
    for share, value in points:
        nines = -math.log10(max(1 - share + half, 1e-12))
        if nines - before >= 1 / 60 or share >= 1 or nines >= most:
            found.append((min(max(nines, 0), most), max(value, 1)))
            before = nines
            if nines >= most:
                break
    return found if found[0][0] <= 0 else [(0, max(points[0][1], 1)), *found]


def spectra(result):
    for scenario in ("rate-4000", "rate-10"):
        for placement, ending, words in placements(result, scenario):
            entries = result.entries(scenario, placement=placement)
            panels = []
            for path in paths(entries):
                found = [(entry, *result.spectrum(entry)) for entry in entries if entry["path"] == path]
                silent = [entry["system"] for entry, points, _ in found if not points]
                found = [(entry, points, total) for entry, points, total in found if points]
                if found:
                    panels.append(_spectrum(result, path + (f"   (no answer: {', '.join(silent)})" if silent else ""), found))
            if panels:
                yield plots.lines(f"spectrum-{scenario}{ending}", f"Latency by percentile: {command_words(result, scenario)}{words}",
                                  "Of all rounds together, from the moment at which a request was meant to start. Further right is rarer, "
                                  "lower is better. Failed requests are in no curve: where a share is “answered”, the curve is of the "
                                  "survivors only, and looks better than the system was.", panels)


def survivors(result, entry):
    """What a system's name must add where its latencies leave out many requests."""
    lost = summary.unanswered(result.runs_of(entry))
    return f" ({names.percent(1 - lost)} answered)" if lost > summary.SURVIVORS else ""


def _spectrum(result, title, found):
    most = max(2, min(4, math.ceil(max(math.log10(2 * total) if total else 3 for _, _, total in found))))
    rows = [Line(entry["system"] + survivors(result, entry), colour(entry["system"]), thinned(points, total, most))
            for entry, points, total in found]
    values = [point[1] for row in rows for point in row.points]
    x = Axis("share of the requests that took at most so long", 0, most, NINES[:most + 1],
             lambda nines: f"{100 * (1 - 10 ** -nines):.4g} %")
    return Panel(title, rows, x, plots.log_axis("latency", values, names.tick))


def _against_rate(result, path, entries, which, words):
    """A percentile of each system at the rates that it was asked for."""
    rows = []
    for system in dict.fromkeys(entry["system"] for entry in entries):
        mine = [(result.rate_asked(entry), entry["latency_us"].get(which)) for entry in entries if entry["system"] == system]
        points = sorted((asked, max(latency, 1)) for asked, latency in mine if asked and latency is not None)
        if points:
            rows.append(Line(system, colour(system), points, MARKS.get(system, 7)))
    if not rows:
        return None
    x = plots.linear_axis("requests a second asked for", max(point[0] for row in rows for point in row.points))
    return Panel(f"{path}, {words}", rows, x, plots.log_axis("latency", [point[1] for row in rows for point in row.points], names.tick))


def ladder_rate(result):
    for placement, ending, words in placements(result, "ladder-rate"):
        entries = [entry for entry in result.entries("ladder-rate", placement=placement) if entry["latency_us"]]
        panels = [_against_rate(result, path, [entry for entry in entries if entry["path"] == path], which, percentile)
                  for path in paths(entries) for which, percentile in (("p99", "99th percentile"), ("p50", "median"))]
        panels = [panel for panel in panels if panel]
        if panels:
            yield plots.lines(f"ladder-rate{ending}", f"Latency against rate{words}",
                              "Each system at shares of its own measured capacity, from the moment at which a request was meant to start.",
                              panels)


# --- ladders of throughput ----------------------------------------------------------------------------------------------------------

LADDERS = {
    "ladder-rows": ("rows", "agents in the table", "Throughput against the number of agents", True),
    "ladder-workers": ("workers", "workers", "Throughput against the number of workers", False),
    "ladder-connections": ("connections", "connections", "Throughput against the number of connections", False),
}


def ladders(result):
    for scenario, (_, label, title, log) in LADDERS.items():
        for placement, ending, words in placements(result, scenario):
            entries = [entry for entry in result.entries(scenario, placement=placement)
                       if entry["rate"] and names.step_value(entry["step"]) and (entry["rate"]["median"] > 0 or not log)]
            panels = [_ladder(path, [entry for entry in entries if entry["path"] == path], label, log) for path in paths(entries)]
            if scenario == "ladder-connections":
                panels += [_tail(path, [entry for entry in entries if entry["path"] == path], label) for path in paths(entries)]
            panels = [panel for panel in panels if panel and panel.rows]
            if panels:
                told = names.interval(entry["runs"] - entry["void"] for entry in entries)
                yield plots.lines(f"{scenario}{ending}", f"{title}{words}",
                                  f"Medians over the rounds; as bars, {told}." if told else "Measured once.", panels)


def _by_system(entries, figure):
    """[Line] of (step, figure) for each system; figure gives (y, …) or None."""
    rows = []
    for system in dict.fromkeys(entry["system"] for entry in entries):
        points = [(names.step_value(entry["step"]), *figure(entry)) for entry in entries if entry["system"] == system and figure(entry)]
        if points:
            rows.append(Line(system, colour(system), sorted(points), MARKS.get(system, 7)))
    return rows


def _steps_axis(label, rows):
    steps = sorted({point[0] for row in rows for point in row.points})
    return plots.log_axis(label, steps, lambda value: f"{value:,g}", steps)


def _ladder(path, entries, label, log):
    rows = _by_system(entries, lambda entry: tuple(entry["rate"][name] for name in ("median", "low", "high")))
    if not rows:
        return None
    values = [value for row in rows for point in row.points for value in point[1:]]
    if log:
        y = plots.log_axis("requests a second", [value for value in values if value > 0], names.rate)
    else:
        y = plots.linear_axis("requests a second", max(values))
    return Panel(path, rows, _steps_axis(label, rows), y)


def _tail(path, entries, label):
    rows = _by_system(entries, lambda entry: (max(entry["latency_us"]["p99"], 1),) if (entry["latency_us"] or {}).get("p99") else None)
    if not rows:
        return None
    y = plots.log_axis("99th percentile of latency", [point[1] for row in rows for point in row.points], names.tick)
    return Panel(f"{path}, latency", rows, _steps_axis(label, rows), y)


def draw(result):
    """All pictures of a result, in the order in which they are looked at."""
    return [picture for show in (throughput, spectra, ladder_rate, cpu, hops, ladders, slow_db, memory) for picture in show(result)]
