#!/usr/bin/python3
"""Two results beside each other: verdicts, what makes them doubtful, what only one has. Prints `ok NAME` or `not ok NAME`."""
import sys

import synthetic
from results import MADE, OPEN, SMALL, check_markdown, equal, holds, lacks, program, run
from rig import as_markdown, comparison

OFF = synthetic.OFF


def test_a_result_does_not_differ_from_itself():
    made = MADE.read(**SMALL, void=False)
    equal({row[-1] for _, row in comparison.rows(made, made)}, {"no difference"})
    equal(comparison.doubts(MADE.read(scenarios=("closed-local",), void=False), MADE.read(scenarios=("closed-local",), void=False)), [])


def test_comparison_finds_what_has_changed():
    old, new = MADE.read(**SMALL, void=False), MADE.read(**SMALL, void=False, faster=1.4)
    found = {(place, row[0], row[2]): row for place, row in comparison.rows(old, new)}
    row = found[("closed-local", "unpinned", "/agents"), OFF, "requests/s"]
    equal(row[-1], "faster")
    holds(row[-2], "1.40 (")
    equal(found[("closed-local", "unpinned", "/agents"), "php-fpm best", "requests/s"][-1], "no difference")
    back = {(place, row[0], row[2]): row for place, row in comparison.rows(new, old)}
    equal(back[("closed-local", "unpinned", "/agents"), OFF, "requests/s"][-1], "slower")
    equal(found[("closed-local", "unpinned", "/agents"), OFF, "CPU µs a request"][-1], "no difference")


def test_comparison_names_what_makes_it_doubtful_first():
    env = {"packages": {"nginx": "1.24", "wrk": "4.1.0-3"}, "cpus": 8, "lscpu": "Model name: Other", "load_average": [7.0, 1.0, 1.0],
           "sysctls": {"net.core.somaxconn": "128", "vm.overcommit_memory": "0"}}
    folders = MADE.path(**SMALL), MADE.path(**{**SMALL, "rounds": 2}, env=env, profile="full", because="interrupted", seconds=5)
    done = program("compare", *folders)
    equal(done.returncode, 0)
    text = done.stdout
    check_markdown(text)
    for part in ("CPU: Example 9000 &lt;b&gt; and Other", "number of CPUs: 2 and 8", "profile: quick and full",
                 "points of B have fewer than 5 rounds", "rounds of closed-local: 3 and 2", "seconds of closed-local: 3 and 5",
                 "package nginx: 1.22.1-9 and 1.24",
                 "package postgresql-15: 15.20-0 and none", "kernel setting net.core.somaxconn: 4096 and 128", "load average 7.00",
                 "B is incomplete: interrupted"):
        assert text.find(part) >= 0, part
        assert text.index(part) < text.index("## closed-local"), f"{part} stands behind the figures"


def test_comparison_of_two_rounds_or_of_rates_that_were_kept_claims_nothing():
    two = {**SMALL, "rounds": 2, "void": False}
    equal({row[-1] for _, row in comparison.rows(MADE.read(**two), MADE.read(**SMALL, void=False, faster=2.0))}, {"not known"})
    open_loop = {**OPEN, "rounds": 3, "void": False}
    found = comparison.rows(MADE.read(**open_loop), MADE.read(**open_loop, seed=2))
    equal({row[-1] for _, row in found if "requests/s" in row}, {"kept the rate"})
    assert "kept the rate" not in {row[-1] for _, row in found if "requests/s" not in row}


def test_a_part_of_the_rig_cannot_be_compared_and_is_told_so():
    part = MADE.folder / "spread-x"
    part.mkdir()
    (part / "spread.json").write_text("{}", encoding="utf-8")
    done = program("compare", MADE.path(**SMALL), part)
    equal(done.returncode, 2)
    holds(done.stderr, "spread-x is a result of one of the rig's parts")


def test_comparison_of_single_rounds_claims_nothing():
    one = MADE.read(**{**SMALL, "rounds": 1}, noise=False, void=False)
    equal({row[-1] for _, row in comparison.rows(one, MADE.read(**{**SMALL, "rounds": 1}, noise=False, void=False, seed=9, faster=2.0))},
          {"not known"})


def test_comparison_lists_what_only_one_has():
    text = as_markdown.blocks(comparison.document(MADE.read(**SMALL), MADE.read(**{**SMALL, "systems": (OFF,)})))
    holds(text, "## Only in A", "closed-local, pinned: agents-fcgi share=on /agents")
    lacks(text, "## Only in B")
    nothing = as_markdown.blocks(comparison.document(MADE.read(**SMALL), MADE.read(**OPEN)))
    holds(nothing, "No figure is in both")


def test_comparison_with_a_missing_result_lists_those_that_are():
    done = program("compare", MADE.path(**SMALL), "nowhere")
    equal(done.returncode, 2)
    holds(done.stderr, "no result nowhere", "the results below bench/results are:")


if __name__ == "__main__":
    sys.exit(run(globals()))
