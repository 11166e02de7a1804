#!/usr/bin/python3
"""The rig's runner: what it refuses, its order, void runs, peers that fail, interrupts, resuming. Prints `ok NAME` or `not ok NAME`."""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.dont_write_bytecode = True
PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "bench"))
from rig import journal, load, peers, runner, tools  # noqa: E402
from rig.scenario import SHARE_OFF, Impossible, Point, Scenario, Settings  # noqa: E402
from rig.stack import RigError  # noqa: E402

NAME = f"test-{os.getpid()}"
RESULTS = PROJECT / "bench/results"
counts = {"passed": 0, "failed": 0}


def record(**members):
    return {"tool": "wrk", "command": ["wrk"], "requests": 100, "rate": 50.0, "rate_asked": None, "errors": dict.fromkeys(tools.ERRORS, 0),
            "latency_us": dict.fromkeys(tools.LATENCIES, 1000.0), "service_us": None, "send_lag_us": None, "cpu_us": {"client": 1.0},
            "pss_kb": None, "started": 1.0, "seconds": 2.0, "steal": 0.0, "queries_per_request": None, "void": None, **members}


class Fake(Scenario):
    """Two systems, two paths, three rounds; `plan` decides what a measurement does."""

    name = title = question = "fake"
    profiles = {"smoke": {"rounds": 3, "seconds": 1}}
    in_profiles = ("smoke",)

    def __init__(self, settings, plan=lambda point, nth: record()):
        super().__init__(settings)
        self.plan, self.done = plan, []

    def points(self):
        return [Point.at(system, path) for system in (SHARE_OFF, "django best") for path in ("/index", "/agents")]

    def measure(self, lab, point):
        self.done.append((point.system, point.path))
        return self.plan(point, len(self.done)), {"txt": "said\n"}


@contextlib.contextmanager
def measured(plan=lambda point, nth: record(), seed=1, resume=False, keep=False, raises=None):
    """A run of Fake: (scenario, result.json, runs)."""
    folder = RESULTS / f"{NAME}-fake"
    settings = Settings("smoke", ("django best",), 16, seed)
    scenario = Fake(settings, plan)
    try:
        kept = journal.Journal(folder, {"seed": seed}, resume)
        kept.make()
        run = runner.Run([scenario], settings, kept, {})
        with open(os.devnull, "w", encoding="ascii") as quiet, contextlib.redirect_stdout(quiet):
            if raises:
                try:
                    run.measure()
                    raise AssertionError(f"{raises.__name__} was not passed on")
                except raises:
                    pass
            else:
                run.measure()
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        lines = (folder / "runs.jsonl").read_text(encoding="utf-8").splitlines() if (folder / "runs.jsonl").exists() else []
        yield scenario, result, [json.loads(line) for line in lines]
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def refuses(*words, of):
    """bench/run ends with 2 and an error that has all of `of` in it."""
    done = subprocess.run([str(PROJECT / "bench/run"), *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 2, f"exit status {done.returncode}\n{done.stdout}{done.stderr}"
    for text in of:
        assert text in done.stderr, f"{text!r} is not in:\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr


# --- what it refuses -------------------------------------------------------------------------------------------------------------


def test_unknown_profile():
    refuses("--profile", "fast", of=["PROFILE=fast", "smoke, quick, full"])


def test_unknown_scenario():
    refuses("--scenarios", "hops,hop", of=["there is no scenario hop;", "closed-local"])


def test_unknown_peer():
    refuses("--peers", "django,flask", of=["flask", "php-fpm"])


def test_unknown_part():
    refuses("closed-loop", of=["there is no part closed-loop"])


def test_name_of_a_result():
    refuses("--profile", "smoke", "--name", "../x", of=["NAME=../x"])


def test_result_that_exists():
    (RESULTS / NAME).mkdir()
    try:
        refuses("--profile", "smoke", "--name", NAME, of=[f"bench/results/{NAME} exists already", "RESUME=1"])
    finally:
        (RESULTS / NAME).rmdir()


def test_nothing_to_resume():
    refuses("--profile", "smoke", "--name", NAME, "--resume", of=["nothing to resume"])


def test_no_scenario():
    refuses("--scenarios", ",", of=["names no scenario"])


def test_more_workers_than_the_database_serves():
    refuses("--profile", "smoke", "--workers", "2000", "--name", NAME, of=["--workers 2000", "at most 40"])
    assert not (RESULTS / NAME).exists()


def test_times_of_a_second_and_more():
    """wrk fills the one-letter unit up with a space."""
    text = """  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   832.10ms  411.05ms   1.98s    62.42%
  Latency Distribution
     50%  965.10ms
     75%    1.03s
     90%    1.20s
     99%    1.90m
  1000 requests in 3.00s, 1MB read
Requests/sec:    333.33
"""
    latency = load.parse_wrk(text.replace("s\n", "s \n"))["latency_us"]
    assert latency == {"mean": 832100.0, "p50": 965100.0, "p75": 1030000.0, "p90": 1200000.0, "p99": 114000000.0, "p99_9": None,
                       "max": 1980000.0}, latency


def test_readme_shows_the_committed_result():
    done = subprocess.run([str(PROJECT / "bench/report"), "--readme", "quick-w16", "--check", "README.md"], cwd=PROJECT, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_estimate_needs_nothing():
    done = subprocess.run([str(PROJECT / "bench/run"), "--profile", "full", "--estimate"], capture_output=True, text=True, check=True)
    assert " h " in done.stdout and "rate-4000" in done.stdout, done.stdout


# --- rounds ------------------------------------------------------------------------------------------------------------------------


def test_each_round_measures_each_point_once():
    with measured() as (_, result, runs):
        keys = {(run["round"], run["system"], run["path"]) for run in runs}
        assert len(runs) == len(keys) == 12 and [run["n"] for run in runs] == list(range(1, 13))
        assert result["complete"] and result["scenarios"][0]["status"] == "measured"


def test_seed_decides_the_order():
    orders = []
    for seed in (1, 1, 2):
        with measured(seed=seed) as (scenario, _, _):
            orders.append(scenario.done)
    assert orders[0] == orders[1] != orders[2]


def test_points_of_a_system_stay_together():
    with measured() as (scenario, _, _):
        systems = [system for system, _ in scenario.done]
        assert all(systems[i] == systems[i + 1] for i in range(0, len(systems), 2)), systems


def test_raw_output_is_kept():
    with measured(keep=True) as (_, _, runs):
        pass
    try:
        import gzip
        assert gzip.decompress((RESULTS / f"{NAME}-fake" / runs[0]["raw"]).read_bytes()) == b"said\n"
    finally:
        shutil.rmtree(RESULTS / f"{NAME}-fake")


# --- runs that do not count --------------------------------------------------------------------------------------------------------


def lag(p99):
    return dict.fromkeys(tools.LATENCIES, p99)


def test_late_generator_is_void():
    assert "sent late" in runner.why_void(record(send_lag_us=lag(1001.0)))
    assert runner.why_void(record(send_lag_us=lag(999.0))) is None


def test_lag_that_latency_dwarfs_is_not():
    assert runner.why_void(record(send_lag_us=lag(5000.0), latency_us=lag(60000.0))) is None
    assert "sent late" in runner.why_void(record(send_lag_us=lag(7000.0), latency_us=lag(60000.0)))


def test_stolen_cpu_is_void():
    assert "stole 6" in runner.why_void(record(steal=0.06)) and runner.why_void(record(steal=0.05)) is None


def test_wrong_body_is_void():
    errors = {**dict.fromkeys(tools.ERRORS, 0), "mismatch": 2}
    assert "2 answers with a wrong body" in runner.why_void(record(errors=errors))


def test_errors_are_not_void():
    errors = {**dict.fromkeys(tools.ERRORS, 0), "timeout": 2000, "connect": 7}
    assert runner.why_void(record(errors=errors)) is None


def test_void_run_is_made_again_and_both_are_kept():
    def plan(_, nth):
        return record(steal=0.2 if nth == 1 else 0.0)
    with measured(plan) as (_, result, runs):
        assert len(runs) == 13 and runs[0]["void"] and not runs[1]["void"]
        assert [runs[0][name] for name in ("system", "path", "round")] == [runs[1][name] for name in ("system", "path", "round")]
        assert sum(entry["void"] for entry in result["summary"]) == 1


def test_always_void_ends():
    with measured(lambda point, nth: record(steal=0.2)) as (_, result, runs):
        assert len(runs) == 24 and result["complete"]


# --- peers that fail, points that are impossible ------------------------------------------------------------------------------------


def test_failing_peer_is_named_and_left_out():
    def plan(point, _):
        if point.system == "django best":
            raise peers.PeerError("django", "/index answers 500")
        return record()
    with measured(plan) as (scenario, result, runs):
        assert {run["system"] for run in runs} == {SHARE_OFF} and len(runs) == 6
        assert result["left_out"] == {"django best": "django: /index answers 500"}
        assert sum(system == "django best" for system, _ in scenario.done) == 1
        assert result["scenarios"][0]["status"] == "partial" and "django best" in result["scenarios"][0]["reason"]


def test_impossible_point_is_named():
    def plan(point, _):
        if point.path == "/index":
            raise Impossible("10,000 connections need 10,200 files, the limit is 4,096: raise ulimit -Hn")
        return record()
    with measured(plan) as (_, result, runs):
        assert len(runs) == 6 and "ulimit" in result["scenarios"][0]["reason"]


def test_failing_scenario_is_skipped():
    def plan(_, nth):
        if nth == 3:
            raise RigError("the link is slow")
        return record()
    with measured(plan) as (_, result, runs):
        assert len(runs) == 2 and result["scenarios"][0]["status"] == "partial"
        assert "the link is slow" in result["scenarios"][0]["reason"]


def test_link_without_root():
    before, os.geteuid = os.geteuid, lambda: 65534
    Fake.needs_root = True
    try:
        with measured() as (_, result, runs):
            assert not runs and result["scenarios"][0]["status"] == "skipped" and "root" in result["scenarios"][0]["reason"]
    finally:
        os.geteuid, Fake.needs_root = before, False


# --- interrupts -----------------------------------------------------------------------------------------------------------------------


def test_interrupt_keeps_and_resume_goes_on():
    def interrupted(_, nth):
        if nth == 5:
            raise KeyboardInterrupt
        return record()
    try:
        with measured(interrupted, keep=True, raises=KeyboardInterrupt) as (_, result, runs):
            assert len(runs) == 4 and not result["complete"] and "interrupted" in result["incomplete_because"]
            assert result["resumed"] == []
            started = result["started"]
        with open(RESULTS / f"{NAME}-fake/runs.jsonl", "a", encoding="utf-8") as f:
            f.write('{"n": 5, "scen')
        with measured(resume=True) as (scenario, result, runs):
            assert len(runs) == 12 and len(scenario.done) == 8 and result["complete"]
            assert result["started"] == started and len(result["resumed"]) == 1
            assert len({(run["round"], run["system"], run["path"]) for run in runs}) == 12
    finally:
        shutil.rmtree(RESULTS / f"{NAME}-fake", ignore_errors=True)


def test_killed_run_can_be_resumed():
    """Nothing is told of the end: the result stands from the beginning."""
    class Killed(BaseException):
        pass

    def killed(_, nth):
        if nth == 6:
            raise Killed
        return record()
    before = runner.Run.write
    try:
        with contextlib.suppress(Killed):
            def once(run):
                if not run.journal.runs:
                    before(run)
            runner.Run.write = once
            with measured(killed, keep=True):
                pass
        runner.Run.write = before
        with measured(resume=True) as (scenario, result, runs):
            assert len(runs) == 12 and len(scenario.done) == 7 and result["complete"]
    finally:
        runner.Run.write = before
        shutil.rmtree(RESULTS / f"{NAME}-fake", ignore_errors=True)


def test_resume_wants_the_same_arguments():
    try:
        with measured(lambda point, nth: (_ for _ in ()).throw(KeyboardInterrupt), keep=True, raises=KeyboardInterrupt):
            pass
        (RESULTS / f"{NAME}-fake/runs.jsonl").touch()
        try:
            journal.Journal(RESULTS / f"{NAME}-fake", {"seed": 2}, True)
        except RigError as error:
            assert "seed=1, not 2" in str(error), error
        else:
            raise AssertionError("resumed with another seed")
    finally:
        shutil.rmtree(RESULTS / f"{NAME}-fake", ignore_errors=True)


def processes_of(directory):
    """Those that run in the rig's temporary folder, or name it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if str(directory) in os.readlink(entry / "cwd") or str(directory).encode() in (entry / "cmdline").read_bytes():
                    found.append(entry.name)
    return found


def test_ctrl_c_in_the_middle():
    with tempfile.TemporaryDirectory(prefix="agents-fcgi-runner.") as scratch:
        os.chmod(scratch, 0o711)
        words = [str(PROJECT / "bench/run"), "--profile", "smoke", "--scenarios", "closed-local", "--name", NAME]
        child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL,
                                 start_new_session=True, env={**os.environ, "TMPDIR": scratch})
        try:
            said = []
            for line in child.stdout:
                said.append(line)
                if "closed-local, round 1/1" in line:
                    os.killpg(child.pid, signal.SIGINT)
                    break
            said.append(child.communicate(timeout=120)[0])
            said = "".join(said)
            assert child.returncode == 130, f"exit status {child.returncode}\n{said}"
            result = json.loads((RESULTS / NAME / "result.json").read_text(encoding="utf-8"))
            runs = (RESULTS / NAME / "runs.jsonl").read_text(encoding="utf-8").splitlines()
            assert not result["complete"] and runs, said
            assert (RESULTS / NAME / "report.html").exists(), said
            assert os.listdir(scratch) == [], os.listdir(scratch)
            end = time.monotonic() + 30
            while processes_of(scratch) and time.monotonic() < end:
                time.sleep(0.1)
            assert processes_of(scratch) == []
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            shutil.rmtree(RESULTS / NAME, ignore_errors=True)


def main():
    for name, test in list(globals().items()):
        if not name.startswith("test_"):
            continue
        title = name.removeprefix("test_").replace("_", " ")
        try:
            test()
        except Exception:
            counts["failed"] += 1
            print(f"not ok {title}\n" + traceback.format_exc())
        else:
            counts["passed"] += 1
            print(f"ok {title}", flush=True)
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    return counts["failed"] > 0


if __name__ == "__main__":
    sys.exit(main())
