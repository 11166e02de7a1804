"""The report as a document: head and findings, pictures, tables of every scenario, systems, environment, and how it was measured."""
from . import findings, names, pictures, published, summary
from .document import Code, Details, Figure, Heading, Items, Paragraph, Plain, Table
from .scenario import HEADLINE

# Scenarios whose tables are made for each path, because the published figures are.
BY_PATH = ("closed-local", "rate-4000", "rate-10")


def head(result):
    yield Heading(1, f"Benchmark: {result.name}")
    yield Paragraph(findings.head(result))
    yield from (Paragraph(words, banner=True) for words in findings.doubts(result))
    if found := findings.findings(result):
        yield Items(found)
    yield from (Paragraph(words, banner=True) for words in findings.remarks(result))
    told = names.interval(entry["ratio"]["rounds"] for entry in result.summary if entry["ratio"])
    yield Paragraph([f"Ratios are of rates in the same round{f', in brackets with their {told}' if told else ''}. ",
                     _faster_in_short(result)])


def _faster_in_short(result):
    if not any(kind == "peer" for kind in result.kinds.values()):
        return "No other system was measured."
    better = [group for group in findings.where_others_are_better(result) if group[0] == findings.FIGURES[0][0]]
    count = sum(len(group[2]) for group in better)
    return (f"In requests a second, a peer is faster than the service in {findings.counted(count, 'place') if count else 'no place'}; "
            "“Where others are faster”, below, lists these, and the other figures in which a peer is better.")


def show_pictures(drawn):
    if drawn:
        yield Heading(2, "Pictures")
        pinned = [picture for picture in drawn if picture.name.endswith("-pinned")]
        yield from (Figure(picture) for picture in drawn if picture not in pinned)
        if pinned:
            yield Details("The same with the load generator on a CPU of its own (pinned)", [Figure(picture) for picture in pinned])


# --- tables -------------------------------------------------------------------------------------------------------------------------

def _where(entries):
    """The columns that tell the rows apart: (heads, cells of an entry)."""
    columns = [("system", lambda entry: entry["system"])]
    if len({entry["path"] for entry in entries}) > 1:
        columns.append(("path", lambda entry: entry["path"]))
    if any(entry["step"] for entry in entries):
        columns.append(("at", lambda entry: names.step_text(entry["step"]) or names.NOTHING))
    return [name for name, _ in columns], lambda entry: [cell(entry) for _, cell in columns]


def rate_cell(entry):
    if entry["rate"] is None:
        return "void" if entry["void"] else names.NOTHING
    if findings.single(entry):
        return f"{names.rate(entry['rate']['median'])} (one round)"
    return f"{names.rate(entry['rate']['median'])} ({names.span(entry['rate']['low'], entry['rate']['high'])})"


def ratio_cell(entry):
    ratio = entry["ratio"]
    if ratio is None:
        return "the service itself" if entry["system"] == HEADLINE else names.NOTHING
    interval = "one round" if ratio["rounds"] == 1 else names.times_span(ratio["low"], ratio["high"])
    return f"{names.times(ratio['median'])} ({interval})"


def verdict_cell(entry):
    return entry["ratio"]["verdict"] + (" (one round)" if entry["ratio"]["rounds"] == 1 else "") if entry["ratio"] else names.NOTHING


def _runs_cell(entry):
    return f"{entry['runs']}" + (f", {entry['void']} void" if entry["void"] else "")


def throughput_table(result, caption, entries, figures):
    heads, cells = _where(entries)
    asked = {id(entry): result.rate_asked(entry) for entry in entries}
    some_asked = any(value is not None for value in asked.values())
    scenario, path = entries[0]["scenario"], entries[0]["path"]
    shown = scenario in BY_PATH and published.measurement(figures, scenario, path) is not None
    head = [*heads, *(["asked for"] if some_asked else []), findings.in_brackets("requests/s", entries), f"ratio to {HEADLINE}",
            "verdict", "errors", "runs", *([figures["label"]] if shown else [])]
    rows = []
    for entry in entries:
        before = published.of_system(figures, scenario, path, entry["system"]) or names.NOTHING
        rows.append([*cells(entry), *([names.rate(asked[id(entry)])] if some_asked else []), rate_cell(entry), ratio_cell(entry),
                     verdict_cell(entry), names.errors(entry["errors"]), _runs_cell(entry), *([before] if shown else [])])
    if shown:
        others = published.of_others(figures, scenario, path, {entry["system"] for entry in entries})
        rows += [[f"{title}, published only", *[names.NOTHING] * (len(head) - 2), words] for title, words in others]
    text = [index for index, name in enumerate(head) if name in (*heads, "verdict", "errors", figures["label"])]
    return Table(caption, head, rows, tuple(text))


def cost_table(caption, entries):
    """CPU and memory by component; None when nothing was accounted."""
    entries = [entry for entry in entries if entry["cpu_us"] or entry["pss_kb"]]
    if not entries:
        return None
    heads, cells = _where(entries)
    present = {part for entry in entries for part in (*entry["cpu_us"], *(entry["pss_kb"] or {}))}
    parts = sorted(present - {"client"}, key=lambda part: names.rank(part, names.COMPONENTS))
    generator = ["client"] if any("client" in entry["cpu_us"] for entry in entries) else []
    word = names.COMPONENT_NAMES
    head = [*heads, "CPU µs", *(f"{word.get(part, part)} µs" for part in parts), *(f"{word[part]} µs" for part in generator),
            "PSS MiB", *(f"{word.get(part, part)} MiB" for part in parts)]
    rows = []
    for entry in entries:
        cpu, memory = entry["cpu_us"], entry["pss_kb"] or {}
        own = [value for part, value in cpu.items() if part != "client" and value is not None]
        rows.append([*cells(entry), names.number(sum(own), 0) if own else names.NOTHING,
                     *(_micro(cpu.get(part)) for part in (*parts, *generator)),
                     names.number(sum(memory.values()) / 1024, 0) if memory else names.NOTHING,
                     *(names.number(memory[part] / 1024, 0) if part in memory else names.NOTHING for part in parts)])
    return Table(caption, head, rows, tuple(range(len(heads))))


def queries_table(caption, entries):
    """What PostgreSQL counted; None where it did not."""
    entries = [entry for entry in entries if entry["queries_per_request"] is not None]
    if not entries:
        return None
    heads, cells = _where(entries)
    rows = [[*cells(entry), names.number(entry["queries_per_request"], 3), names.errors(entry["errors"]), _runs_cell(entry)]
            for entry in entries]
    return Table(caption, [*heads, "queries a request", "errors", "runs"], rows, (*range(len(heads)), len(heads) + 1))


def _micro(value):
    return names.number(value, 1 if value is not None and value < 10 else 0)


LATENCIES = (("mean", "mean"), ("p50", "p50"), ("p75", "p75"), ("p90", "p90"), ("p99", "p99"), ("p99_9", "p99.9"), ("max", "max"))


def _latency_cell(result, entry, member, name):
    """A percentile that lies beyond the number of requests is only the longest of them under another name."""
    fewest = min((run["requests"] for run in result.runs_of(entry) if run["void"] is None and run["requests"]), default=0)
    return names.NOTHING if fewest < summary.NEEDED.get(name, 0) else names.duration(entry[member].get(name))


def latency_tables(result, caption, entries):
    """From the intended start, from the send, and how late the generator itself sent; of a closed loop only the second is known."""
    open_loop = [entry for entry in entries if entry["service_us"] or entry["send_lag_us"]]
    closed = [entry for entry in entries if entry["latency_us"] and not entry["service_us"]]
    for mine, member, words in ((open_loop, "latency_us", "latency from the intended start"),
                                (open_loop, "service_us", "latency from the send"),
                                (open_loop, "send_lag_us", "lateness of the load generator's sends"),
                                (closed, "latency_us", "latency from the send, of a closed loop")):
        mine = [entry for entry in mine if entry[member]]
        if not mine:
            continue
        heads, cells = _where(mine)
        kept = [(name, word) for name, word in LATENCIES if any(entry[member].get(name) is not None for entry in mine)]
        rows = [[entry["system"] + pictures.survivors(result, entry), *cells(entry)[1:],
                 *(_latency_cell(result, entry, member, name) for name, _ in kept)] for entry in mine]
        yield Table(f"{caption}: {words}", [*heads, *(word for _, word in kept)], rows, tuple(range(len(heads))))


def _tables(result, caption, entries, figures):
    """What is looked at most is open: rates, then what they cost; latencies of open loops, which are what those were measured for."""
    # A scenario that only counts queries has no rates.
    rated = [entry for entry in entries if entry["rate"] or entry["queries_per_request"] is None]
    tables = [throughput_table(result, f"{caption}: throughput", rated, figures) if rated else None,
              queries_table(f"{caption}: database queries", entries),
              cost_table(f"{caption}: cost of a request, memory after the run", entries),
              *latency_tables(result, caption, entries)]
    return [table for table in tables if table]


def scenario_section(result, scenario, figures):
    name = scenario["name"]
    yield Heading(2, f"{scenario['title']} ({name})")
    yield Paragraph(scenario["question"])
    entries = result.entries(name)
    if not entries:
        yield Paragraph(f"Skipped: {scenario['reason'] or 'nothing was measured'}.")
        return
    if scenario["status"] == "partial" and scenario["reason"]:
        yield Paragraph(f"Partly measured: {scenario['reason']}.", banner=True)
    yield Paragraph(_commands(scenario))
    for placement, _, words in pictures.placements(result, name):
        mine = [entry for entry in entries if entry["placement"] == placement]
        blocks = list(_of_placement(result, name, mine, figures, f"{name}{findings.pinned(placement)}"))
        if placement == "pinned" and len({entry["placement"] for entry in entries}) > 1:
            yield Details(f"The same{words}, everything else on the others (pinned)", blocks)
        else:
            yield from blocks


def _commands(scenario):
    words = ["Here: ", Code(scenario["command"]), ", for example. "] if scenario["command"] and scenario["name"] not in BY_PATH else []
    return [*words, f"{findings.counted(scenario['rounds'], 'round')}, runs of {scenario['seconds']:g} s."]


def _commands_of_path(result, entry, figures):
    """The published command line of a path beside ours."""
    one = published.measurement(figures, entry["scenario"], entry["path"])
    words = ["Published: ", Code(one["command"]), ". "] if one else ["Not published for this path. "]
    run = next(iter(result.runs_of(entry)), None)
    return [*words, "Here: ", Code(" ".join(run["command"])), "."] if run else words


def _of_placement(result, name, entries, figures, caption):
    if name in BY_PATH:
        for path in pictures.paths(entries):
            yield Heading(3, f"{path}{', pinned' if caption.endswith(', pinned') else ''}")
            mine = [entry for entry in entries if entry["path"] == path]
            yield Paragraph(_commands_of_path(result, min(mine, key=lambda entry: names.system_rank(entry["system"])), figures))
            yield from _tables(result, f"{caption} {path}", mine, figures)
    else:
        entries = sorted(entries, key=pictures.hop_rank) if name == "hops" else entries
        yield from _tables(result, caption, entries, figures)


# --- the rest -----------------------------------------------------------------------------------------------------------------------

def others_faster(result):
    yield Heading(2, "Where others are faster")
    if not any(kind == "peer" for kind in result.kinds.values()):
        yield Paragraph("No other system was measured.")
        return
    yield Paragraph(f"Every figure in which a peer beats {HEADLINE}, by a ratio of the same round whose interval does not hold 1, and "
                    f"which lies outside of what the service differs from itself, in {summary.ENOUGH} rounds or more. Figures "
                    "are multiples of the service's own.")
    better = findings.where_others_are_better(result)
    if better:
        yield Items([f"{what}, {where}: {'; '.join(peers)}." for what, where, peers in better])
    else:
        yield Paragraph("There is none in this result.")
    yield Heading(3, "Better in the median, within the noise")
    perhaps = findings.where_others_may_be_better(result)
    yield Paragraph("Every other figure in which a peer's median is the better one: its interval holds 1, or it lies within the noise "
                    "floor, or the rounds are too few to tell." + ("" if perhaps else " There is none in this result."))
    if perhaps:
        yield Items([f"{what}, {where}: {'; '.join(peers)}." for what, where, peers in perhaps])


def systems(result):
    yield Heading(2, "Systems")
    for system in sorted(result.data["systems"], key=lambda one: names.system_rank(one["name"])):
        yield Heading(3, system["name"])
        yield Paragraph(system["about"])
        if system["versions"]:
            yield Paragraph(", ".join(f"{name} {version}" for name, version in system["versions"].items()) + ".")
    if result.data["left_out"]:
        yield Heading(3, "Left out")
        yield Items([f"{name}: {reason}" for name, reason in result.data["left_out"].items()])


def environment(result):
    env, data = result.data["environment"], result.data
    yield Heading(2, "Environment")
    kernel = env.get("kernel") or {}
    model, changed = findings.cpu_model(env) or "of an unknown model", ", with uncommitted changes" if env.get("uncommitted") else ""
    lines = [f"{findings.counted(env['cpus'], 'CPU')}, {model}" if env.get("cpus") else "The CPUs are not known",
             "; ".join(" ".join(line.split()) for line in env.get("memory") or []),
             " ".join(filter(None, (kernel.get("system"), kernel.get("release"), kernel.get("version"), kernel.get("machine")))),
             f"Load average at the start: {' '.join(f'{n:.2f}' for n in env['load_average'])}" if env.get("load_average") else "",
             f"Commit {env.get('commit') or 'unknown'}{changed}; {env.get('worker') or 'worker unknown'}",
             link(data["link"]) if data["link"] else "No network link was set up: everything over loopback",
             f"Called with: {', '.join(f'{name}={value}' for name, value in data['arguments'].items())}" if data["arguments"] else ""]
    yield Items([line for line in lines if line])
    if env.get("packages"):
        yield Table("Packages", ["package", "version"], [list(pair) for pair in env["packages"].items()], (0, 1))
    for title, member in (("Kernel settings", "sysctls"), ("PostgreSQL's settings that are not its defaults", "pg_settings")):
        if env.get(member):
            rows = [[name, names.NOTHING if value is None else value] for name, value in env[member].items()]
            yield Details(f"{title} ({len(rows)})", [Table(title, ["setting", "value"], rows, (0, 1))])
    if env.get("lscpu"):
        yield Details("lscpu", [Plain(env["lscpu"])])
    if env.get("uncommitted"):
        yield Details(f"Uncommitted changes ({len(env['uncommitted'])})", [Plain("\n".join(env["uncommitted"]))])


def link(data):
    """In words, as far as it was measured."""
    if data.get("how"):
        return f"Link: {data['how'].rstrip('.')}"
    parts = []
    if data.get("rate_mbit_asked") is not None:
        parts.append(f"set to {data['rate_mbit_asked']:,.0f} Mb/s")
    if data.get("rate_mbit_measured") is not None:
        parts.append(f"a transfer over it reached {data['rate_mbit_measured']:,.0f} Mb/s")
    round_trip = data.get("rtt_us") or {}
    told = [f"{word} {names.duration(round_trip[word])}" for word in ("min", "median", "p99") if round_trip.get(word) is not None]
    parts += [f"round trip {', '.join(told)}"] if told else []
    if data.get("netem") is False:
        parts.append("no delay added, because the kernel has no netem")
    elif data.get("delay_ms_asked"):
        parts.append(f"{data['delay_ms_asked']:g} ms of delay added")
    return f"Link: {', '.join(parts) or 'not described'}"


def _interval_words(result):
    rounds = sorted({entry["runs"] - entry["void"] for entry in result.summary} - {0, 1})
    told = ", ".join(f"{count} rounds {100 * (1 - 0.5 ** (count - 1)):.3g} %" for count in rounds if count <= 8)
    return (" With few rounds no interval can hold the true median as often as 95 times in 100: the widest one there is, from the lowest "
            f"to the highest, holds it as often as this: {told}." if told else "")


def _sessions(data):
    resumed = data.get("resumed") or []
    return f"{len(resumed) + 1} sessions ({', '.join(part['time'] for part in resumed)}: resumed)" if resumed else "one session"


def method(result):
    data = result.data
    yield Heading(2, "How it was measured")
    yield Items([
        f"Everything ran on one machine, in {_sessions(data)}, in rounds; a round measures every point once, after a warm-up: the systems "
        f"in random order, and the points of each (seed {data['seed']}). Only what ran in the same round is compared.",
        "A rate is the median over the rounds. Its 95 % interval comes from a percentile bootstrap over the rounds "
        f"({summary.RESAMPLES:,} resamples, seeded), a ratio's from the ratios of the rounds." + _interval_words(result),
        "“No difference” is printed when the interval of the ratio holds 1, or when its median is no farther from 1 than the interval of "
        "A/A pairs, in which the same system was measured twice in a round: the noise floor. A place without such pairs has the widest "
        f"floor of the result. “Not known” is printed of fewer than {summary.ENOUGH} rounds in common, and of open loops that were asked "
        f"for different rates; “kept the rate” of an open loop that reached {100 * summary.KEPT:.0f} % of what it was asked for.",
        "A run is void when the 99th percentile of the generator's own lateness exceeds the larger of 1 ms and 10 % of the reported 99th "
        "percentile, when an answer is not what it must be, or when the host took more than 5 % of the CPU. Void runs are in no median; "
        "their errors stay in the tables.",
        "Errors are never left out of a table. A rate counts answers; wrk counts those of any status, so look at non-2xx beside it.",
        "wrk waits for an answer before it sends the next request (closed loop), so its latencies leave out the waiting of requests that "
        "did not send. pace sends on a schedule (open loop), and measures from the moment at which a request was meant to start; from the "
        "send is printed beside it.",
        "A percentile is shown when a run has so many requests that it is not just the longest of them.",
        "CPU is what the processes of each component used during the run, divided by the answers; the load generator's is shown, and in no "
        "sum. Memory is the proportional set size after the run.",
        "Unpinned: the kernel places all processes. Pinned: the load generator has the first CPU, everything else the others.",
        ["The figures of 2015 are of other hardware: they stand beside ours, and nothing is divided by them. ", published.read()["source"]],
    ])
    if result.noise:
        pairs = summary.group([run for run in result.runs if run["again"] and run["void"] is None], summary.place)
        rows = [[floor["scenario"], floor["placement"], floor["path"], str(len(pairs.get(summary.place(floor), []))),
                 names.times(floor["ratio"]["median"]),
                 names.times_span(floor["ratio"]["low"], floor["ratio"]["high"])] for floor in result.noise if floor["ratio"]]
        interval = names.interval(map(len, pairs.values()), "pairs") or "one pair"
        yield Table("Noise floor: ratios of A/A pairs", ["scenario", "placement", "path", "pairs", "median", interval], rows, (0, 1, 2))
    else:
        yield Paragraph("No A/A pairs were measured, so the noise floor is not known.")
    if data["capacity"]:
        rows = [[name, names.rate(value)] for name, value in data["capacity"].items()]
        yield Table("Capacity that the rates of ladder-rate are shares of", ["system and path", "requests/s"], rows)
    void = [run for run in result.runs if run["void"] is not None]
    if void:
        rows = [[str(run["n"]), run["scenario"], str(run["round"]), run["placement"], run["system"], run["path"],
                 names.step_text(run["step"]), run["void"]] for run in void]
        yield Table("Void runs", ["run", "scenario", "round", "placement", "system", "path", "at", "why"], rows, (0, 1, 3, 4, 5, 6, 7))
    yield Paragraph(["All runs are in ", Code("runs.jsonl"), ", what the tools printed is in ", Code("raw/"), ", nginx's configuration in ",
                     Code("environment/"), ", and ", Code("result.json"), " holds these tables; ", Code("bench/result.schema.json"),
                     " describes each member. ",
                     Code("bench/report FOLDER"), " makes this report again."])


def skipped(result):
    reasons = [f"{scenario['title']} ({scenario['name']}): {scenario['reason'] or 'nothing was measured'}"
               for scenario in result.data["scenarios"] if not result.entries(scenario["name"])]
    if reasons:
        yield Heading(2, "Skipped")
        yield Items(reasons)


def report(result, drawn):
    """All blocks of the report, in order."""
    figures = published.read()
    blocks = [*head(result), *show_pictures(drawn)]
    for scenario in sorted(result.data["scenarios"], key=lambda one: names.rank(one["name"], names.SCENARIOS)):
        if result.entries(scenario["name"]):
            blocks += scenario_section(result, scenario, figures)
    for section in (skipped, others_faster, systems, environment, method):
        blocks += section(result)
    if result.missing_histograms:
        blocks.append(Paragraph("Histograms of some runs are missing: their curves go through the medians of a few percentiles."))
    return blocks
