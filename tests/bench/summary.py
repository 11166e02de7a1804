#!/usr/bin/python3
"""From runs to figures: medians, ratios, intervals, noise; the schema; broken files. Prints `ok NAME` or `not ok NAME`."""
import gzip
import json
import random
import sys

import synthetic
from results import MADE, OPEN, PROJECT, SMALL, equal, holds, refused, run, run_of
from rig import result, summary
from rig.schema import Schema

OFF = synthetic.OFF
SCHEMA = json.loads((PROJECT / "bench/result.schema.json").read_text(encoding="utf-8"))


def entry_of(runs, system, **where):
    entries, _ = summary.summarise(runs, 1)
    found = [entry for entry in entries if entry["system"] == system and all(entry[name] == value for name, value in where.items())]
    equal(len(found), 1, f"entries of {system}")
    return found[0]


# --- summary ------------------------------------------------------------------------------------------------------------------------

def test_summary_takes_medians_over_rounds():
    runs = [run_of(turn=turn, rate=rate, cpu_us={"client": 20.0, "app": cpu}) for turn, rate,
            cpu in ((1, 1000.0, 5.0), (2, 1300.0, 9.0), (3, 1100.0, 7.0))]
    entry = entry_of(runs, OFF)
    equal(entry["rate"]["median"], 1100.0)
    equal((entry["min"], entry["max"], entry["runs"], entry["void"]), (1000.0, 1300.0, 3, 0))
    equal(entry["cpu_us"], {"client": 20.0, "app": 7.0})
    # Of three rounds 7 of 27 resamples have the lowest as their median: the interval reaches from end to end.
    equal((entry["rate"]["low"], entry["rate"]["high"]), (1000.0, 1300.0))
    equal(entry["ratio"], None, "the service's own ratio")


def test_ratios_are_of_the_same_round():
    # Of the medians the ratio would be 300/200; of the rounds it is the median of 1, 3 and 0.5.
    runs = [run_of(turn=turn, rate=rate) for turn, rate in ((1, 100.0), (2, 200.0), (3, 600.0))]
    runs += [run_of("django best", turn, rate) for turn, rate in ((1, 100.0), (2, 600.0), (3, 300.0))]
    ratio = entry_of(runs, "django best")["ratio"]
    equal((ratio["to"], ratio["median"], ratio["low"], ratio["high"]), (OFF, 1.0, 0.5, 3.0))
    equal(ratio["verdict"], "no difference")


def test_even_numbers_of_rounds_have_the_mean_of_the_middle_ones():
    equal(entry_of([run_of(turn=turn, rate=rate) for turn, rate in ((1, 1.0), (2, 5.0), (3, 2.0), (4, 9.0))], OFF)["rate"]["median"], 3.5)


def test_void_runs_are_counted_but_in_no_median():
    runs = [run_of(turn=1, rate=100.0), run_of(turn=2, rate=9999.0, void="stolen"), run_of(turn=3, rate=102.0)]
    runs[1]["errors"]["mismatch"] = 7
    runs += [run_of("django best", turn, 50.0) for turn in (1, 2, 3)]
    entry = entry_of(runs, OFF)
    equal((entry["runs"], entry["void"], entry["rate"]["median"], entry["max"]), (3, 1, 101.0, 102.0))
    equal(entry["errors"]["mismatch"], 7, "errors of a void run")
    # The round has no ratio, since the service's rate there does not count.
    equal(entry_of(runs, "django best")["ratio"]["high"], 0.5)


def test_only_void_runs_leave_no_figure():
    entry = entry_of([run_of(void="stolen", rate=None, latency_us={"p50": 1.0, "p99": 2.0})], OFF)
    equal((entry["rate"], entry["min"], entry["max"], entry["latency_us"], entry["pss_kb"]), (None,) * 5)


def test_one_round_has_no_interval():
    runs = [run_of(rate=100.0), run_of("django best", rate=40.0)]
    equal(entry_of(runs, OFF)["rate"], {"median": 100.0, "low": 100.0, "high": 100.0})
    ratio = entry_of(runs, "django best")["ratio"]
    equal((ratio["low"], ratio["median"], ratio["high"], ratio["verdict"]), (0.4, 0.4, 0.4, "not known"))


def test_runs_without_an_answer_have_no_cpu_of_a_request():
    runs = [run_of(turn=1), run_of(turn=2, rate=0.0, requests=0, cpu_us={"client": 3e6, "app": 3e6})]
    entry = entry_of(runs, OFF)
    equal(entry["cpu_us"]["app"], 50.0)
    equal(entry["rate"]["low"], 0.0, "the round without an answer")
    equal(entry_of(runs[1:], OFF)["cpu_us"], {})


def test_a_service_that_answered_nothing_is_no_divisor():
    runs = [run_of(turn=turn, rate=0.0, requests=0) for turn in (1, 2)] + [run_of("django best", turn) for turn in (1, 2)]
    equal(entry_of(runs, "django best")["ratio"], None)


def test_a_round_measured_again_counts_once():
    runs = [run_of(turn=1, rate=100.0, void="stolen"), run_of(turn=1, rate=110.0), run_of(turn=2, rate=120.0)]
    entry = entry_of(runs, OFF)
    equal((entry["runs"], entry["void"], entry["rate"]["median"]), (3, 1, 115.0))


def aa_runs(again, other):
    """Three rounds of the service at 100, again at 100 x `again`, and of a peer at 100 x `other`."""
    runs = []
    for turn, (a, o) in enumerate(zip(again, other), 1):
        runs += [run_of(turn=turn, rate=100.0), run_of(turn=turn, rate=100.0 * a, again=True), run_of("django best", turn, 100.0 * o)]
    return runs


def test_pairs_are_in_the_noise_floor_and_nowhere_else():
    runs = aa_runs((0.9, 1.02, 1.05), (0.5, 0.5, 0.5))
    _, noise = summary.summarise(runs, 1)
    equal(noise,
          [{"scenario": "closed-local", "placement": "unpinned", "path": "/agents", "ratio": {"median": 1.02, "low": 0.9, "high": 1.05}}])
    equal((entry_of(runs, OFF)["runs"], entry_of(runs, OFF)["rate"]["high"]), (3, 100.0))


def test_a_difference_within_the_noise_is_none():
    verdicts = [(0.92, "no difference"), (0.88, "slower"), (1.10, "no difference"), (1.13, "faster")]
    for ratio, wanted in verdicts:
        # The noise reaches from 0.9 to 1.05, a factor of 1/0.9: from 0.9 to 1.111.
        equal(entry_of(aa_runs((0.9, 1.02, 1.05), (ratio, ratio, ratio * 1.001)), "django best")["ratio"]["verdict"], wanted,
              f"ratio {ratio}")


def test_an_interval_that_holds_1_is_no_difference():
    equal(entry_of(aa_runs((1.0, 1.0, 1.0), (0.7, 0.8, 1.01)), "django best")["ratio"]["verdict"], "no difference")
    equal(entry_of(aa_runs((1.0, 1.0, 1.0), (0.7, 0.8, 0.99)), "django best")["ratio"]["verdict"], "slower")
    equal(entry_of(aa_runs((1.0, 1.0, 1.0), (1.3, 1.2, 1.01)), "django best")["ratio"]["verdict"], "faster")


def test_noise_of_one_place_is_not_that_of_another():
    runs = aa_runs((0.5, 1.5, 1.0), (0.8, 0.8, 0.8))
    elsewhere = [dict(run, path="/index") for run in aa_runs((1.0, 1.0, 1.0), (0.8, 0.8, 0.8))]
    equal(entry_of(runs + elsewhere, "django best", path="/agents")["ratio"]["verdict"], "no difference")
    equal(entry_of(runs + elsewhere, "django best", path="/index")["ratio"]["verdict"], "slower")


def test_fewer_than_three_common_rounds_prove_nothing():
    runs = [run_of(turn=turn) for turn in (1, 2, 3)] + [run_of("django best", turn, 100.0 + turn) for turn in (1, 2, 3)]
    ratio = entry_of(runs, "django best")["ratio"]
    equal((ratio["rounds"], ratio["verdict"]), (3, "slower"))
    # One of the service's is void, so that a round of the peer's has nothing to be compared with.
    runs[1]["void"] = "stolen"
    ratio = entry_of(runs, "django best")["ratio"]
    equal((ratio["rounds"], ratio["verdict"]), (2, "not known"))


def test_a_place_without_pairs_has_the_widest_noise_there_is():
    runs = aa_runs((0.9, 1.02, 1.05), (0.95, 0.95, 0.95)) + [dict(run, path="/index") for run in aa_runs((1.0, 1.0, 1.0), (0.5, 0.5, 0.5))]
    for scenario, others, wanted in (("hops", 0.92, "no difference"), ("hops", 0.85, "slower")):
        bare = [dict(run, scenario=scenario) for run in aa_runs((1.0,) * 3, (others,) * 3) if not run["again"]]
        equal(entry_of(runs + bare, "django best", scenario=scenario)["ratio"]["verdict"], wanted, f"ratio {others}")
        equal(entry_of(bare, "django best")["ratio"]["verdict"], "slower", "without any pairs")


def test_a_rate_that_was_asked_for_is_kept_or_not():
    def verdict(own, other, asked=(4000, 4000), rounds=3):
        turns = range(1, rounds + 1)
        runs = [run_of(turn=turn, rate=own, rate_asked=asked[0]) for turn in turns]
        runs += [run_of("django best", turn, other, rate_asked=asked[1]) for turn in turns]
        return entry_of(runs, "django best")["ratio"]["verdict"]

    equal(verdict(4000.0, 3970.0), "kept the rate")
    equal(verdict(4000.0, 3970.0, rounds=1), "kept the rate")
    equal(verdict(4000.0, 3950.0), "slower")
    equal(verdict(4000.0, 3950.0, rounds=2), "not known")
    equal(verdict(2000.0, 4000.0), "faster", "than a service that did not keep it")
    # At shares of their own capacities the rates say nothing about each other.
    equal(verdict(9000.0, 500.0, asked=(9000, 500)), "kept the rate")
    equal(verdict(9000.0, 400.0, asked=(9000, 500)), "not known")


def test_steps_and_placements_are_kept_apart():
    runs = [run_of(rate=rate, step={"rows": rows}, placement=placement) for rate, rows, placement in
            ((1.0, 500, "unpinned"), (2.0, 50, "unpinned"), (3.0, 50, "pinned"))]
    entries, _ = summary.summarise(runs, 1)
    equal([(entry["placement"], entry["step"], entry["rate"]["median"]) for entry in entries],
          [("unpinned", {"rows": 50}, 2.0), ("unpinned", {"rows": 500}, 1.0), ("pinned", {"rows": 50}, 3.0)])


def test_summary_depends_on_seed_and_figures_only():
    runs = MADE.read(**SMALL).runs
    shuffled = random.Random(5).sample(runs, len(runs))
    equal(summary.summarise(shuffled, 1), summary.summarise(runs, 1), "in another order")
    some = [run for run in runs if run["path"] == "/index"]
    wanted = [entry for entry in summary.summarise(runs, 1)[0] if entry["path"] == "/index"]
    equal(summary.summarise(some, 1)[0], wanted, "without the other paths")
    values = [random.Random(3).random() for _ in range(9)] + [2.0, 3.0]
    equal(summary.bootstrap(values, summary.generator(1, "x")), summary.bootstrap(values, summary.generator(1, "x")))


def coverage(rounds, trials, interval):
    """How often an interval holds the true median, 1, of noisy rounds."""
    rng, held = random.Random(rounds), 0
    for trial in range(trials):
        found = interval([rng.lognormvariate(0, 0.1) for _ in range(rounds)], random.Random(trial))
        held += found["low"] <= 1 <= found["high"]
    return held / trials


def test_bootstrap_intervals_hold_the_median_as_often_as_they_say():
    for rounds, low, high in ((3, 0.68, 0.82), (5, 0.90, 0.97), (11, 0.90, 0.98), (25, 0.91, 0.98)):
        share = coverage(rounds, 400, lambda values, rng: summary.bootstrap(values, rng, 400))
        assert low <= share <= high, f"of {rounds} rounds {share:.3f}"


def test_quotients_of_two_results_hold_the_truth_too():
    rng, held = random.Random(1), 0
    for trial in range(300):
        a, b = ([rng.lognormvariate(0, 0.1) for _ in range(9)] for _ in "ab")
        ratio = summary.bootstrap_quotient([2 * value for value in b], a, random.Random(trial), 300)
        held += ratio["low"] <= 2 <= ratio["high"]
    assert 0.9 <= held / 300 <= 0.995, held / 300
    equal(summary.bootstrap_quotient([4.0], [2.0], random.Random(1)), {"median": 2.0, "low": 2.0, "high": 2.0})
    equal(summary.bootstrap_quotient([4.0], [0.0], random.Random(1)), None)


def test_bootstrap_resamples_two_thousand_times():
    class Counting(random.Random):
        calls = 0

        def choices(self, *args, **named):
            Counting.calls += 1
            return super().choices(*args, **named)

    summary.bootstrap([1.0, 2.0, 3.0], Counting(1))
    assert Counting.calls >= 2000, Counting.calls


# --- schema -------------------------------------------------------------------------------------------------------------------------

def described(schema, where=""):
    """Members without a description."""
    missing = []
    for name, one in schema.get("properties", {}).items():
        at = f"{where}.{name}"
        target = SCHEMA["$defs"][one["$ref"].split("/")[-1]] if "$ref" in one else one
        missing += [] if target.get("description") else [at]
        missing += described(one, at)
    if isinstance(schema.get("items"), dict):
        missing += described(schema["items"], f"{where}[]")
    return missing


def test_schema_describes_every_member():
    missing = described(SCHEMA) + [fault for name, one in SCHEMA["$defs"].items() for fault in described(one, name)]
    equal(missing, [])
    # And every member that a run and an entry of the summary have.
    made = MADE.read(**SMALL)
    for name, members in (("run", made.runs[0]), ("entry", made.summary[0])):
        equal(set(members) - set(SCHEMA["$defs"][name]["properties"]), set(), f"members of {name} that are not described")
    equal(set(made.data) - set(SCHEMA["properties"]), set(), "members of result.json that are not described")


def test_schema_takes_what_is_right_and_names_what_is_not():
    schema = Schema(SCHEMA)
    data = json.loads((MADE.path(**SMALL) / "result.json").read_text(encoding="utf-8"))
    equal(schema.fault(data), None)
    for change, words in (
            (lambda d: d.pop("seed"), "seed is missing"),
            (lambda d: d.update(profile="slow"), "profile: is 'slow', not one of"),
            (lambda d: d["summary"][3].update(rate="fast"), "summary[3].rate: is string, not object or null"),
            (lambda d: d["summary"][0]["rate"].update(median=None), "summary[0].rate.median: is null, not number"),
            (lambda d: d["systems"][1].update(kind="friend"), "systems[1].kind"),
            (lambda d: d["systems"][0]["versions"].update(x=3), "systems[0].versions.x"),
            (lambda d: d["summary"][0].update(void=-1), "summary[0].void: is -1, less than 0"),
            (lambda d: d["summary"][0].update(runs=True), "summary[0].runs: is boolean, not integer"),
            (lambda d: d["systems"][0].update(name=""), "systems[0].name: is empty"),
            (lambda d: d.update(environment=[]), "environment: is array, not object or null")):
        broken = json.loads(json.dumps(data))
        change(broken)
        holds(schema.fault(broken) or "nothing", words)
    try:
        Schema({"maxLength": 3}).fault("abcd")
    except ValueError as error:
        holds(str(error), "maxLength")
    else:
        raise AssertionError("a keyword that nobody checks was taken")


# --- reading a result ---------------------------------------------------------------------------------------------------------------

def test_a_result_that_is_not_there_is_refused_with_those_that_are():
    (MADE.folder / "empty").mkdir(exist_ok=True)
    refused(lambda: result.read(str(MADE.folder / "nowhere")), "no result", "the results below bench/results are:")
    refused(lambda: result.read(str(MADE.folder / "empty")), "no result.json")
    before = result.RESULTS
    try:
        result.RESULTS = MADE.folder
        MADE.path(**SMALL)
        refused(lambda: result.read("nowhere"), MADE.path(**SMALL).name)
        equal(result.read(MADE.path(**SMALL).name).name, MADE.path(**SMALL).name)
    finally:
        result.RESULTS = before


def test_broken_files_are_named_with_the_place():
    for name, text, *parts in (
            ("result.json", "{", "result.json", "line 1"), ("result.json", "[]", "result.json", "is array"),
            ("result.json", '{"schema": 2}', "format is number 2"), ("result.json", '{"schema": 1}', "name is missing"),
            ("result.json", '{"schema": NaN}', "NaN"), ("result.json", b"\xff\xfe", "UTF-8"),
            ("runs.jsonl", '{"n": 1}\n', "runs.jsonl, line 1", "missing"), ("runs.jsonl", '\n{"n": 1\n', "runs.jsonl, line 2"),
            ("runs.jsonl", "null\n", "line 1", "null")):
        folder = MADE.copy(**SMALL)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        refused(lambda folder=folder: result.read(str(folder)), *parts)
    folder = MADE.copy(**SMALL)
    (folder / "runs.jsonl").unlink()
    refused(lambda: result.read(str(folder)), "runs.jsonl is missing")


def test_a_line_that_a_kill_has_cut_is_left_out_of_an_incomplete_result_only():
    for because in (None, "interrupted"):
        folder = MADE.copy(**SMALL, because=because)
        text = (folder / "runs.jsonl").read_text(encoding="utf-8")
        (folder / "runs.jsonl").write_text(text + '{"n": 99', encoding="utf-8")
        if because is None:
            refused(lambda folder=folder: result.read(str(folder)), "runs.jsonl, line")
        else:
            holds(" ".join(result.read(str(folder)).notes), "was cut off")


def test_a_part_of_the_rig_is_told_from_what_is_not_there():
    part = MADE.folder / "floors-x"
    part.mkdir()
    for name in ("floors.md", "floors.json"):
        (part / name).write_text("{}", encoding="utf-8")
    refused(lambda: result.read(str(part)), "floors-x is a result of one of the rig's parts (floors.json, floors.md)", "no result.json")
    before = result.RESULTS
    try:
        result.RESULTS = MADE.folder
        refused(lambda: result.read("floors-x"), "floors-x is a result of one of the rig's parts")
    finally:
        result.RESULTS = before


def test_verdicts_of_an_earlier_format_are_made_anew():
    def age(data):
        for entry in data["summary"]:
            if entry["ratio"]:
                del entry["ratio"]["rounds"]
                entry["ratio"]["verdict"] = "faster"

    equal(result.read(str(MADE.changed(age, **SMALL))).summary, MADE.read(**SMALL).summary)


def test_a_summary_of_other_runs_is_computed_anew():
    folder = MADE.copy(**SMALL)
    lines = (folder / "runs.jsonl").read_text(encoding="utf-8").splitlines(True)
    (folder / "runs.jsonl").write_text("".join(lines[:-5]), encoding="utf-8")
    made = result.read(str(folder))
    equal(sum(entry["runs"] for entry in made.summary), sum(not run["again"] for run in made.runs))
    holds(" ".join(made.notes), "computed anew")
    without = result.read(str(MADE.changed(lambda data: data.pop("summary"), **SMALL)))
    equal(without.summary, MADE.read(**SMALL).summary)


def test_spectra_are_of_all_valid_rounds_together():
    made = MADE.read(**OPEN, void=False)
    entry = made.entry("rate-10", system=OFF, path="/agents")
    points, total = made.spectrum(entry)
    runs = made.runs_of(entry)
    equal(total, sum(run["requests"] for run in runs))
    histograms = [json.loads(gzip.decompress((made.folder / run["histogram"]).read_bytes())) for run in runs]
    equal(points[-1], (1.0, max(value for one in histograms for value, _ in one["latency"]["buckets"])))
    runs[0]["void"] = "stolen"
    equal(made.spectrum(entry)[1], runs[1]["requests"])


def test_spectra_without_histograms_go_through_a_few_percentiles():
    folder = MADE.copy(**OPEN)
    for file in (folder / "raw").glob("*.json.gz"):
        file.unlink()
    made = result.read(str(folder))
    entry = made.entry("rate-10", system=OFF, path="/agents")
    points, total = made.spectrum(entry)
    equal(points[0], (0.5, entry["latency_us"]["p50"]))
    equal((total, made.missing_histograms > 0), (None, True))


def test_broken_histograms_are_named():
    for content in (b"no gzip", gzip.compress(b"{}"), gzip.compress(b'{"latency": {"buckets": [[1, 2, 3]]}}'),
                    gzip.compress(b'{"latency": {"buckets": [[1, -2]]}}'), gzip.compress(b"x" * 1000)[:-4]):
        folder = MADE.copy(**OPEN)
        made = result.read(str(folder))
        entry = made.entry("rate-10", system=OFF, path="/agents")
        file = made.runs_of(entry)[0]["histogram"]
        (folder / file).write_bytes(content)
        refused(lambda made=made, entry=entry: made.spectrum(entry), file, "not what pace writes")
    made.runs_of(entry)[0]["histogram"] = "../../etc/passwd"
    refused(lambda: made.spectrum(entry), "outside")


if __name__ == "__main__":
    sys.exit(run(globals()))
