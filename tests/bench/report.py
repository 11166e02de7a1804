#!/usr/bin/python3
"""What comes out of the rig: report.md, report.html, the part of the README. Prints `ok NAME` or `not ok NAME`."""
import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import synthetic
from results import HOSTILE, MADE, OPEN, PROJECT, SMALL, check_markdown, equal, holds, lacks, make_report, program, run, run_of, write_runs
from rig import as_html, as_markdown, document, findings, names, published, readme, result, sections

OFF, ON = synthetic.OFF, synthetic.ON


# --- report -------------------------------------------------------------------------------------------------------------------------

def test_report_has_all_parts_in_order():
    html, markdown, page = make_report(MADE.copy(rounds=2))
    order = ["# Benchmark", "Measured on 2 CPUs (Example 9000", "## Pictures", "throughput.svg", "spectrum-rate-4000.svg",
             "spectrum-rate-10.svg",
             "ladder-rate.svg", "cpu.svg", "hops.svg", "ladder-rows.svg", "ladder-workers.svg", "ladder-connections.svg", "slow-db.svg",
             "memory.svg",
             "(closed-local)", "(rate-4000)", "(rate-10)", "(hops)", "(ladder-rate)", "(ladder-connections)", "(ladder-rows)",
             "(ladder-workers)", "(slow-db)",
             "(queries)", "## Where others are faster", "## Systems", "## Environment", "## How it was measured"]
    places = [markdown.find(part) for part in order]
    assert -1 not in places, [part for part, place in zip(order, places) if place < 0]
    equal(places, sorted(places))
    equal((page.names.count("figure"), page.names.count("svg")), (13, 13))
    holds(html, "max_connections", "net.core.somaxconn", "Flags: fpu vme de")
    holds(markdown, "1 of", "void", "7 % of the CPU was stolen", "Left out: tornado best", "No request was answered by fastify best")


def test_report_shows_published_figures_beside_ours_and_divides_nothing_by_them():
    folder = MADE.copy(**SMALL)
    _, markdown, _ = make_report(folder)
    holds(markdown, "published, 2015, other hardware",
          "2,344/s; mean 7.70 s, max 13.3 s; connect 396, timeout 4,093", "583/s; mean 325 ms, max 26.4 s; read 130, timeout 2,388",
          "| Flask, published only |", "| API-Hour (asyncio), published only |")
    # The rows of what was not measured have nothing but the published figure.
    row = next(line for line in markdown.splitlines() if line.startswith("| Flask, published only"))
    equal(set(cell.strip() for cell in row.split("|")[2:-2]), {"–"})


def test_each_path_has_its_published_command_beside_ours():
    figures = published.read()
    _, markdown, _ = make_report(MADE.copy(rounds=1))
    for scenario in ("closed-local", "rate-4000", "rate-10"):
        section = markdown.split(f"({scenario})\n", 1)[1].split("\n## ", 1)[0]
        for path in ("/index", "/agents", "/agents_with_orm"):
            one = published.measurement(figures, scenario, path)
            told = section.split(f"### {path}\n\n", 1)[1].split("\n", 1)[0]
            holds(told, f"Published: `{one['command']}`. Here: `" if one else "Not published for this path. Here: `", f"{path}`.")


def test_findings_are_computed():
    made = MADE.read(**SMALL)
    own, django, peer = (made.entry("closed-local", placement="unpinned", path="/agents", system=name) for name in
                         (OFF, "django published", "aiohttp best"))
    text = findings.throughput(made, "/agents")
    holds(text, f"{own['rate']['median']:,.0f} requests/s with one query each",
          f"{1 / django['ratio']['median']:.0f} times Django as published",
          f"{names.times(1 / peer['ratio']['median'])} times the best peer, aiohttp")
    holds(text, names.times_span(1 / django["ratio"]["high"], 1 / django["ratio"]["low"]), "it had 432 errors")
    slow = MADE.read(**SMALL, faster=0.4)
    ratio = slow.entry("closed-local", placement="unpinned", path="/agents", system="aiohttp best")["ratio"]["median"]
    assert ratio > 1.1, ratio
    holds(findings.throughput(slow, "/agents"), f" {1 / ratio:.2f} times the best peer, aiohttp")
    equal(findings.findings(MADE.read(**SMALL, profile="smoke")), [], "findings of a smoke run")


def test_throughput_is_compared_with_django_at_its_best_too():
    made = MADE.read(**SMALL)
    where = {"scenario": "closed-local", "placement": "unpinned", "path": "/agents"}
    best = made.entry(**where, system="django best")
    text = findings.throughput(made, "/agents")
    holds(text, f", {names.times(1 / best['ratio']['median'])} times Django at its best (", " and ", "times the best peer, aiohttp (")
    only = MADE.read(**SMALL, systems=(OFF, "django published", "django best"))
    text = findings.throughput(only, "/agents")
    equal((text.count("Django at its best"), text.count("the best peer, Django at its best")), (1, 1), text)


def open_loop(lost, **errors):
    """A result in which the service answers all of 1,000 requests in each of 3 rounds, and Django as published all but `lost`."""
    command = ["pace", "-R", "4000", "-d", "6s", "--timeout", "5s", "http://x/agents"]
    runs = []
    for turn in (1, 2, 3):
        for system, missing in ((OFF, 0), ("django published", lost)):
            run = run_of(system, turn, 4000.0 * (1 - missing / 1000), scenario="rate-4000", rate_asked=4000, command=command, tool="pace",
                         requests=1000 - missing, latency_us={"p50": 100.0, "p99": 900.0})
            run["errors"] |= {"unsent": missing, **(errors if missing else {})}
            runs.append(run)
    folder = MADE.copy(**SMALL)
    write_runs(folder, runs)
    return result.read(str(folder))


def test_percentiles_of_survivors_are_not_told_as_those_of_all():
    few = findings.latency(open_loop(10), "/agents")
    holds(few, "Django as published: in 100 µs (median) and 900 µs (99th percentile)")
    most = findings.latency(open_loop(850), "/agents")
    holds(most, "answered in 100 µs (median) and 900 µs (99th percentile) from the intended start",
          "Django as published: 600 of them a second, 85 % of the requests had no right answer before the run's end "
          "(6 s and a time-out of 5 s), with 2,550 errors")
    equal(most.count("(median)"), 1, most)
    made = open_loop(850)
    table, = sections.latency_tables(made, "x", made.entries("rate-4000"))
    equal([row[0] for row in table.rows], [OFF, "django published (15 % answered)"])
    # A connection that failed is no request.
    holds(findings.latency(open_loop(10, connect=900), "/agents"), "Django as published: in 100 µs")


def test_queries_are_claimed_only_as_counted():
    made = MADE.read(**SMALL)
    equal(findings.queries(made, "/agents"), " with one query each")
    made.entry("queries", system=OFF, path="/agents")["queries_per_request"] = 1.3
    equal(findings.queries(made, "/agents"), " with 1.30 queries each")
    equal(findings.queries(made, "/index"), "")


def test_published_figures_stand_there_without_their_system_too():
    made = MADE.read(scenarios=("closed-local",), rounds=2, systems=(OFF,))
    text = as_markdown.blocks(sections.scenario_section(made, made.scenario("closed-local"), published.read()))
    holds(text, "| Django, published only | – |", "| Flask, published only | – |")
    with_django = sections.scenario_section(MADE.read(**SMALL), made.scenario("closed-local"), published.read())
    lacks(as_markdown.blocks(with_django), "| Django, published only")


def test_void_runs_are_told_once_for_each_reason():
    def spoil(run):
        run["void"] = f"late by {run['n']:,}.5 µs" if run["n"] <= 4 else "stolen" if run["n"] == 5 else None

    text = " ".join(findings.remarks(result.read(str(MADE.changed(None, spoil, **SMALL)))))
    holds(text, "5 of", "late by 1.5 µs (and 3 like it); stolen.")


def test_counted_queries_are_shown():
    tables = sections.scenario_section(MADE.read(**SMALL), MADE.read(**SMALL).scenario("queries"), published.read())
    table, = [one for one in tables if isinstance(one, document.Table)]
    equal(table.head, ["system", "path", "queries a request", "errors", "runs"])
    equal(table.rows[0], [OFF, "/agents", "1.000", "none", "3"])


def test_where_others_are_faster_is_said():
    text = as_markdown.blocks(sections.others_faster(MADE.read(**SMALL)))
    lacks(text, "/agents 1", ON)
    slow = as_markdown.blocks(sections.others_faster(MADE.read(**SMALL, faster=0.4)))
    holds(slow, "Requests a second, closed-local: aiohttp best on /index 2.", "fastify best on /index 2.", "aiohttp best on /agents 1.")
    fast = MADE.read(**SMALL, faster=3.0)
    fast = [what for what, _, _ in findings.where_others_are_better(fast)]
    assert "Requests a second" not in fast, fast
    alone = MADE.read(**{**SMALL, "systems": (OFF,)})
    holds(as_markdown.blocks(sections.others_faster(alone)), "No other system was measured")


def test_what_is_better_within_the_noise_is_listed_by_itself():
    runs = []
    for turn in (1, 2, 3):
        runs.append(run_of(turn=turn, latency_us={"p50": 100.0, "p99": 900.0}))
        runs.append(run_of("aiohttp best", turn, (990.0, 1020.0, 1030.0)[turn - 1], latency_us={"p50": 120.0, "p99": 300.0}))
        if turn == 1:
            runs.append(run_of("fastify best", turn, 5000.0, latency_us={"p50": 100.0, "p99": 901.0}, pss_kb={"app": 900}))
    folder = MADE.copy(**SMALL)
    write_runs(folder, runs)
    made = result.read(str(folder))
    equal({what: peers for what, _, peers in findings.where_others_are_better(made)},
          {"99th percentile of latency": ["aiohttp best on /agents 0.33 (0.33–0.33)"]})
    equal({what: peers for what, _, peers in findings.where_others_may_be_better(made)},
          {"Requests a second": ["aiohttp best on /agents 1.02 (0.99–1.03)", "fastify best on /agents 5.0 (one round)"],
           "Memory (PSS)": ["fastify best on /agents 0.90 (one round)"]})
    text = as_markdown.blocks(sections.others_faster(made))
    holds(text[text.index("### Better in the median, within the noise"):], "fastify best on /agents 5.0 (one round)")
    lacks(text[:text.index("### Better in the median, within the noise")], "fastify")
    # A rate that both kept is nobody's advantage, by however little it is higher.
    kept = [run_of(system, turn, rate, scenario="rate-4000", rate_asked=4000) for turn in (1, 2, 3)
            for system, rate in ((OFF, 3990.0), ("aiohttp best", 4000.0))]
    write_runs(folder, kept)
    equal(findings.where_others_may_be_better(result.read(str(folder))), [])


def test_a_longer_tail_or_more_memory_of_the_service_is_said_too():
    runs = []
    for turn in (1, 2, 3, 4):
        runs.append(run_of(turn=turn, latency_us={"p50": 100.0, "p99": 900.0}, cpu_us={"app": 60.0, "client": 1.0}, pss_kb={"app": 2000}))
        runs.append(run_of("aiohttp best", turn, 500.0, latency_us={"p50": 200.0, "p99": 300.0 + turn},
                           cpu_us={"app": 50.0, "client": 99.0}, pss_kb={"app": 1000}))
    folder = MADE.copy(**SMALL)
    write_runs(folder, runs)
    better = {what: peers for what, _, peers in findings.where_others_are_better(result.read(str(folder)))}
    equal(sorted(better), ["99th percentile of latency", "CPU time of a request", "Memory (PSS)"])
    equal(better["99th percentile of latency"], ["aiohttp best on /agents 0.34 (0.33–0.34)"])


def test_a_percentile_beyond_the_number_of_requests_is_not_shown():
    made = MADE.read(**OPEN)
    table = next(one for one in sections.latency_tables(made, "x", made.entries("rate-10", path="/agents")) if "intended" in one.caption)
    row = dict(zip(table.head, table.rows[0]))
    assert row["p50"] != "–" and row["max"] != "–", row
    equal((row["p99"], row["p99.9"]), ("–", "–"), "of 40 requests")


def test_nothing_in_the_data_becomes_markup():
    def poison(data):
        data["name"], data["incomplete_because"], data["complete"] = HOSTILE, HOSTILE, False
        data["left_out"] = {HOSTILE: HOSTILE}
        for scenario in data["scenarios"]:
            scenario |= {"title": HOSTILE, "question": HOSTILE, "command": HOSTILE, "published_command": HOSTILE, "reason": HOSTILE,
                         "status": "partial"}
        data["systems"][0] |= {"about": HOSTILE, "versions": {HOSTILE: HOSTILE}}
        data["systems"].append({"name": HOSTILE, "kind": "peer", "about": "x", "versions": {}})
        data["link"] |= {"how": HOSTILE}
        data["environment"] |= {"lscpu": f"Model name: {HOSTILE}\n```\n# x", "packages": {HOSTILE: HOSTILE}, "uncommitted": [HOSTILE],
                                "worker": HOSTILE,
                                "sysctls": {HOSTILE: HOSTILE}, "commit": HOSTILE}
        data["arguments"] = {HOSTILE: HOSTILE}

    def poison_run(run):
        run["system"] = HOSTILE if run["system"] == "django best" else run["system"]
        run["void"] = HOSTILE if run["void"] else None
        run["path"] = f"/{HOSTILE}" if run["path"] == "/index" else run["path"]
        run["step"] = {HOSTILE: HOSTILE} if run["scenario"] == "queries" else run["step"]

    folder = MADE.changed(poison, poison_run, **SMALL)
    html, markdown, page = make_report(folder)
    lacks(html, "<script>alert", "&amp;lt;script")
    holds("".join(page.words), "<script>alert(1)</script>", "&amp;")
    # In code and in a program's output it stands as it is.
    lacks(re.sub(r"(?s)```.*?```|(`+)(?!`).+?(?<!`)\1(?!`)", "", markdown), "<script>", "`touch")
    assert not any((place / "owned").exists() for place in (folder, MADE.folder, Path("."))), "gnuplot ran a command"
    for file in folder.glob("*.svg"):
        ElementTree.parse(file)
    texts = [text.text for text in ElementTree.parse(folder / "throughput.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert any(HOSTILE in (text or "") for text in texts), texts


def test_markdown_writes_text_as_it_is():
    for plain, wanted in (("a_b _c_", r"a_b \_c\_"), ("x|y", r"x\|y"), ("<b>", "&lt;b&gt;"), ("&lt;", "&amp;lt;"), ("a & b", "a & b"),
                          ("*x*", r"\*x\*"),
                          ("[a](b)", r"\[a\](b)"), ("- x", r"\- x"), ("1. x", r"\1. x"), ("a\n\n# b", "a # b"), ("`x`", r"\`x\`"),
                          ("~~a~~", r"\~\~a\~\~")):
        equal(as_markdown.text(plain), wanted)
    equal(as_markdown.code("a `b` c"), "``a `b` c``")
    equal(as_markdown.inline(["a ", document.Code("x|y"), " b"], True), "a `x\\|y` b")
    equal(as_markdown.blocks([document.Plain("a\n```\nb")]), "````\na\n```\nb\n````\n")


def test_html_writes_text_as_it_is():
    text = as_html.Page("<t>").write([document.Heading(1, "a & <b>"),
                                      document.Paragraph(["x ", document.Code("<i>"), document.Link("l", 'http://"x')])])
    holds(text, "<title>&lt;t&gt;</title>", "a &amp; &lt;b&gt;", "<code>&lt;i&gt;</code>", 'href="http://&quot;x"')


def test_report_works_with_one_system_in_one_round():
    folder = MADE.copy(systems=(OFF,), rounds=1, seconds=1, noise=False, left_out=False, void=False)
    _, markdown, _ = make_report(folder)
    holds(markdown, "Measured in one round only", "(one round)", "No other system was measured", "No A/A pairs were measured")
    lacks(markdown, "nan", "inf,")


def test_report_works_without_any_figure():
    folder = MADE.copy(**SMALL)
    (folder / "runs.jsonl").write_text("", encoding="utf-8")
    _, markdown, page = make_report(folder)
    holds(markdown, "## Skipped")
    equal(page.names.count("svg"), 0)


def test_report_works_when_nobody_was_answered():
    folder = MADE.changed(None, synthetic.unanswered, rounds=2, seconds=1)
    _, markdown, _ = make_report(folder)
    holds(markdown, f"No request was answered by {OFF}", "timeout 800", "connect 24")
    holds((folder / "throughput.svg").read_text(encoding="utf-8"), "no answer, 824 errors")


def test_report_works_when_only_others_were_measured():
    make_report(MADE.copy(systems=("django best", "pgbench"), rounds=2, void=False, scenarios=("closed-local", "rate-10", "hops")))


def test_report_works_when_all_runs_are_void():
    folder = MADE.changed(None, lambda run: run.update(void="the machine stole it"), rounds=2, seconds=1)
    lines = (folder / "runs.jsonl").read_text(encoding="utf-8").splitlines()
    _, markdown, _ = make_report(folder)
    holds(markdown, f"{len(lines)} of {len(lines)} runs are void", "| void |")


def test_missing_histograms_are_told():
    folder = MADE.copy(**OPEN)
    for file in (folder / "raw").glob("*.json.gz"):
        file.unlink()
    _, markdown, _ = make_report(folder)
    holds(markdown, "spectrum-rate-10.svg", "Histograms of some runs are missing")


def test_an_incomplete_result_says_so_first():
    _, markdown, _ = make_report(MADE.copy(**SMALL, because="interrupted in round 3"))
    holds(markdown[:markdown.index("## Pictures")], "**Note:** Incomplete: interrupted in round 3.")
    _, markdown, _ = make_report(MADE.copy(**SMALL, profile="smoke"))
    holds(markdown, "claims nothing")
    _, markdown, _ = make_report(MADE.copy(**SMALL, env={"uncommitted": [" M src/db.c"]}))
    holds(markdown, "uncommitted changes")


def test_sessions_and_missing_runs_are_told():
    lacks(as_markdown.blocks(sections.report(MADE.read(**SMALL), [])), "missing from runs.jsonl", "Interrupted")
    folder = MADE.changed(lambda data: data.update(resumed=[{"time": "2026-11-29T09:00:00Z", "commit": "abc"}]), **SMALL)
    lines = (folder / "runs.jsonl").read_text(encoding="utf-8").splitlines()
    write_runs(folder, [run for run in map(json.loads, lines) if run["n"] not in (1, 7, 8, 20, 21, 22, 23)])
    text = as_markdown.blocks(sections.report(result.read(str(folder)), []))
    holds(text, "gaps: 1, 7–8, 20–23.", "in 2 sessions (2026-11-29T09:00:00Z: resumed), in rounds")
    holds(as_markdown.blocks(sections.method(MADE.read(**SMALL))), "in one session, in rounds")


def test_heads_of_tables_say_what_the_brackets_are():
    for rounds, told in ((3, "lowest–highest of 3 rounds"), (5, "95 % interval")):
        made = MADE.read(**{**SMALL, "rounds": rounds}, void=False)
        text = as_markdown.blocks(sections.scenario_section(made, made.scenario("closed-local"), published.read()))
        holds(text, f"| requests/s ({told}) |")
        holds(as_markdown.blocks(sections.head(made)), f"in brackets with their {told}.")
        holds(readme.text(made, PROJECT), f"requests a second ({told})")
    twice = as_markdown.blocks(sections.method(MADE.read(**{**SMALL, "rounds": 2}, void=False)))
    holds(twice, "| pairs | median | lowest–highest of 2 pairs |")


def test_scenarios_without_figures_are_listed_as_skipped():
    made = MADE.changed(lambda data: data["scenarios"].append(synthetic.scenario_member("rate-4000", 5, 3, [])),
                        scenarios=("closed-local",), rounds=2)
    _, markdown, _ = make_report(made)
    holds(markdown[markdown.index("## Skipped"):], "(rate-4000): the kernel lets nobody make network namespaces here")
    lacks(markdown, "spectrum-rate-4000")


def test_reports_can_be_made_again():
    folder = MADE.copy(**SMALL)
    (folder / "gone.svg").write_text("<svg/>", encoding="utf-8")
    make_report(folder)
    assert not (folder / "gone.svg").exists(), "a picture of an earlier report is still there"
    first = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    make_report(folder)
    equal({file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}, first)


def test_a_report_without_gnuplot_names_the_package():
    done = program("report", MADE.copy(**SMALL), PATH="/nonexistent")
    equal(done.returncode, 2)
    holds(done.stderr, "gnuplot is not installed", "apt-get install gnuplot-nox")


def test_bad_calls_end_with_2_and_say_why():
    for words, part in (((MADE.folder / "nowhere",), "no result"), ((MADE.path(**SMALL), "--check", "x"), "belong to --readme"),
                        ((MADE.path(**SMALL), "--readme", "--check", "x", "--update", "x"), "either"), ((), "FOLDER")):
        done = program("report", *words)
        equal(done.returncode, 2)
        holds(done.stderr, part)


# --- README -----------------------------------------------------------------------------------------------------------------------

def test_readme_has_the_figures_of_the_result():
    made = MADE.read(**SMALL)
    text = readme.text(made, PROJECT)
    check_markdown(text)
    rate = made.entry("closed-local", placement="unpinned", path="/agents", system=OFF)["rate"]["median"]
    holds(text, f"| {OFF} |", f"{rate:,.0f} (", "| Django, published, 2015, other hardware | 2,344 | 583 | 572 |", "throughput.svg)",
          "report.md)")
    equal(program("report", "--readme", made.folder).stdout, text)


def test_readme_is_written_and_checked_between_its_markers():
    folder, file = MADE.path(**SMALL), MADE.folder / "README.md"
    file.write_text(f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n", encoding="utf-8")
    done = program("report", "--readme", folder, "--check", file)
    equal(done.returncode, 1)
    holds(done.stderr, "-old", "--update")
    equal(program("report", "--readme", folder, "--update", file).returncode, 0)
    text = file.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{readme.BEGIN}\n") and text.endswith(f"{readme.END}\nafter\n"), text[:100]
    equal(program("report", "--readme", folder, "--check", file).returncode, 0)
    holds(text, f"]({folder.name}/throughput.svg)")
    # A figure that somebody has made a little nicer.
    file.write_text(re.sub(r"\| (\d)(\d,\d{3} \()", lambda found: f"| {int(found[1]) + 1}{found[2]}", text, count=1), encoding="utf-8")
    assert file.read_text(encoding="utf-8") != text
    equal(program("report", "--readme", folder, "--check", file).returncode, 1)
    for broken in ("no markers", f"{readme.END} {readme.BEGIN}", f"{readme.BEGIN}{readme.BEGIN}{readme.END}"):
        file.write_text(broken, encoding="utf-8")
        done = program("report", "--readme", folder, "--update", file)
        equal((done.returncode, file.read_text(encoding="utf-8")), (2, broken))
        holds(done.stderr, readme.BEGIN)
    equal(program("report", "--readme", folder, "--check", MADE.folder / "none.md").returncode, 2)


def test_readme_works_without_the_closed_loop():
    lacks(readme.text(MADE.read(**OPEN), PROJECT), "throughput", "| system")


# --- published figures --------------------------------------------------------------------------------------------------------------

def test_published_figures_are_as_they_were_published():
    figures = published.read()
    equal(figures["label"], "published, 2015, other hardware")
    told = {(one["scenario"], one["path"]): [published.in_words(one["figures"][name]) for name in one["figures"]]
            for one in figures["measurements"]}
    equal(told, {
        ("closed-local", "/index"): ["2,344/s; mean 7.70 s, max 13.3 s; connect 396, timeout 4,093",
                                     "2,645/s; mean 13.2 s; connect 393, timeout 4,040",
                                     "13,201/s; mean 30.3 ms; no errors"],
        ("closed-local", "/agents"): ["583/s; mean 325 ms, max 26.4 s; read 130, timeout 2,388",
                                      "634/s; mean 620 ms; read 66, timeout 2,919",
                                      "4,180/s; mean 98.3 ms; no errors"],
        ("closed-local", "/agents_with_orm"): ["572/s; mean 573 ms, max 13.3 s; read 77, timeout 2,721"],
        ("rate-4000", "/index"): ["1,799/s; mean 82.2 s, max 3.3 min; connect 237, write 26, timeout 26,620",
                                  "2,714/s; mean 52.2 s; connect 28, read 29, write 136, timeout 26,549",
                                  "3,996/s; mean 1.76 ms; no errors"],
        ("rate-4000", "/agents"): ["278/s; mean 2.4 min, max 4.9 min; read 218, write 156, timeout 37,106",
                                   "304/s; mean 2.3 min; read 128, write 185, timeout 40,638", "3,698/s; mean 7.84 s; no errors"],
        ("rate-10", "/index"): ["10.3/s; mean 3.05 ms, max 8.38 ms; no errors", "mean 2.35 ms, max 6.50 ms", "mean 1.83 ms, max 3.50 ms"],
        ("rate-10", "/agents"): ["10.0/s; mean 19.4 ms, max 27.2 ms; no errors", "mean 18.7 ms, max 47.8 ms", "mean 6.42 ms, max 14.7 ms"]})
    for one in figures["measurements"]:
        holds(one["command"], one["path"], "-R" if one["scenario"] != "closed-local" else "wrk -t12 -c400 -d30s")


if __name__ == "__main__":
    sys.exit(run(globals()))
