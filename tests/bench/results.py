"""What the tests of results, reports and pictures share: results that synthetic.py makes, and what a page and a Markdown text must be."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
from html.parser import HTMLParser
from pathlib import Path

sys.dont_write_bytecode = True
PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "bench"))
import synthetic  # noqa: E402
from rig import result  # noqa: E402
from rig.stack import RigError  # noqa: E402

HOSTILE = "it's \"$x\" `touch owned` <script>alert(1)</script> %s \\n @{^_} | a_b * &amp;"
# Choices of synthetic.make that are enough for most tests.
SMALL = {"scenarios": ("closed-local", "queries"), "rounds": 3}
OPEN = {"scenarios": ("rate-10",), "rounds": 2, "systems": (synthetic.OFF, "django best")}


def equal(got, wanted, what=""):
    assert got == wanted, f"{what + ': ' if what else ''}{got!r}, not {wanted!r}"


def holds(text, *parts):
    for part in parts:
        assert part in text, f"{part!r} is not in: {text[:2000]}"


def lacks(text, *parts):
    for part in parts:
        assert part not in text, f"{part!r} is in it"


def refused(action, *parts):
    """The RigError of an action, whose text holds the parts."""
    try:
        action()
    except RigError as error:
        holds(str(error), *parts)
        return
    raise AssertionError("it was not refused")


class Made:
    """Results, made once each, in a folder that goes at the end."""

    def __init__(self):
        self.whole = tempfile.TemporaryDirectory(prefix="agents-fcgi-report.")
        self.folder, self.known, self.serial = Path(self.whole.name), {}, 0

    def path(self, **choices):
        key = json.dumps(choices, sort_keys=True)
        if key not in self.known:
            self.known[key] = synthetic.make(self.folder / f"made{len(self.known)}", **choices)
        return self.known[key]

    def read(self, **choices):
        return result.read(str(self.path(**choices)))

    def copy(self, **choices):
        """One that may be broken."""
        self.serial += 1
        return Path(shutil.copytree(self.path(**choices), self.folder / f"copy{self.serial}"))

    def changed(self, change=None, change_run=None, **choices):
        """A copy whose result.json has gone through `change`, and whose lines through `change_run`; then the summary is computed anew."""
        folder = self.copy(**choices)
        data = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        if change:
            change(data)
        if change_run:
            runs = [json.loads(line) for line in (folder / "runs.jsonl").read_text(encoding="utf-8").splitlines()]
            for run in runs:
                change_run(run)
            write_runs(folder, runs)
            del data["summary"]
        (folder / "result.json").write_text(json.dumps(data), encoding="utf-8")
        return folder


MADE = Made()


def write_runs(folder, runs):
    (folder / "runs.jsonl").write_text("".join(json.dumps(run) + "\n" for run in runs), encoding="utf-8")


def program(name, *words, **env):
    done = subprocess.run([sys.executable, str(PROJECT / "bench" / name), *map(str, words)], capture_output=True, text=True, check=False,
                          cwd=MADE.folder, env={**os.environ, **env}, stdin=subprocess.DEVNULL)
    lacks(done.stderr, "Traceback")
    return done


def run_of(system=synthetic.OFF, turn=1, rate=1000.0, **changes):
    """A line of runs.jsonl."""
    return {"n": 1, "scenario": "closed-local", "round": turn, "placement": "unpinned", "system": system, "again": False, "path": "/agents",
            "step": {},
            "tool": "wrk", "command": ["wrk"], "started": 1.0, "seconds": 3.0, "requests": 3000, "rate": rate, "rate_asked": None,
            "errors": dict.fromkeys(synthetic.ERRORS, 0), "latency_us": None, "service_us": None, "send_lag_us": None,
            "cpu_us": {"client": 20.0, "app": 50.0},
            "pss_kb": {"app": 1000}, "queries_per_request": None, "steal": 0.0, "void": None, "raw": None, "histogram": None, **changes}


# --- what a report must be ------------------------------------------------------------------------------------------------------------

VOID_ELEMENTS = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Everything that the tests ask of a page."""

    def __init__(self, text):
        super().__init__()
        self.open, self.faults, self.ids, self.headings, self.tables, self.words, self.names = [], [], [], [], [], [], []
        self.text = text
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> is never closed" for tag in self.open]

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.names.append(tag)
        if "id" in attrs:
            self.ids.append(attrs["id"])
        for name in ("src", "srcset", "poster", "data", "action"):
            self.faults += [f"<{tag} {name}={attrs[name]}>"] if name in attrs else []
        for name in ("href", "xlink:href"):
            if not attrs.get(name, "#").startswith("#"):
                self.faults.append(f"<{tag} {name}={attrs[name]}>")
        self.faults += [f"<{tag} {name}>" for name in attrs if name.startswith("on")]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "table":
            self.tables.append({"caption": False, "rows": [], "scopes": 0})
        if tag == "caption":
            self.tables[-1]["caption"] = True
        if tag == "tr":
            self.tables[-1]["rows"].append(0)
        if tag in ("td", "th"):
            self.tables[-1]["rows"][-1] += 1
            self.tables[-1]["scopes"] += "scope" in attrs
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID_ELEMENTS:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> within {self.open[-3:]}")
        else:
            self.open.pop()

    def handle_data(self, data):
        self.words.append(data)


def check_page(text):
    page = Page(text)
    equal(page.faults, [])
    equal(sorted(one for one in set(page.ids) if page.ids.count(one) > 1), [], "identifiers that stand twice")
    equal([name for name in page.names if name in ("script", "iframe", "object", "embed", "link", "base", "img")], [])
    equal(page.headings.count(1), 1, "main headings")
    for before, after in zip(page.headings, page.headings[1:]):
        assert after <= before + 1, f"h{after} behind h{before}"
    for one in page.tables:
        assert one["caption"], "a table without a caption"
        equal(len(set(one["rows"])), 1, "rows of different lengths")
        assert one["scopes"] >= one["rows"][0], "heads of columns and rows have a scope"
    lacks(text.lower(), "@import", "url(", "http-equiv")
    for anchor in re.findall(r'(?:xlink:)?href="#([^"]*)"', text):
        assert anchor in page.ids, f"#{anchor} leads nowhere"
    for label in re.findall(r'aria-labelledby="([^"]*)"', text):
        assert all(one in page.ids for one in label.split()), label
    equal(page.names.count("svg"), page.names.count("desc"), "pictures and their descriptions")
    return page


def check_markdown(text):
    """Rows of a table have as many cells as its head."""
    cells = None
    for line in text.splitlines():
        if line.startswith("|"):
            count = len(re.findall(r"(?<!\\)\|", line))
            equal(count, cells or count, f"cells of {line[:100]}")
            cells = count
        else:
            cells = None


def make_report(folder):
    done = program("report", folder)
    equal((done.returncode, done.stderr), (0, ""))
    html, markdown = ((Path(folder) / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))
    page = check_page(html)
    check_markdown(markdown)
    for name in re.findall(r"\]\(([^)]*\.svg)\)", markdown):
        assert (Path(folder) / name).exists(), f"{name} is not there"
    return html, markdown, page


def run(namespace):
    """Runs the functions test_... in their order, or those whose names hold a word of the command line; the exit status."""
    passed = failed = 0
    for name, test in list(namespace.items()):
        title = name.removeprefix("test_").replace("_", " ")
        if not name.startswith("test_") or sys.argv[1:] and not any(word in title for word in sys.argv[1:]):
            continue
        try:
            test()
        except Exception:  # whatever a broken report raises
            failed += 1
            print(f"not ok {title}\n" + "".join(f"    {line}\n" for line in traceback.format_exc().splitlines()), end="", flush=True)
        else:
            passed += 1
            print(f"ok {title}", flush=True)
    MADE.whole.cleanup()
    print(f"{passed} passed, {failed} failed")
    return failed > 0 or passed == 0
