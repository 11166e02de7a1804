"""The README's part about speed, made from a result: what it found, the picture, and a short table."""
import difflib
import os
import sys

from . import as_markdown, findings, names, pictures, published
from .document import Items, Link, Paragraph, Table
from .stack import RigError

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
SCENARIO = findings.CLOSED


def _cell(entry):
    """13,992 (13,442–14,010), 124 µs"""
    if entry is None:
        return names.NOTHING
    if entry["rate"] is None:
        return "void"
    if not findings.answers(entry):
        return "no answer"
    cpu = [value for part, value in entry["cpu_us"].items() if part != "client" and value is not None]
    rate = entry["rate"]
    interval = "" if findings.single(entry) else f" ({names.span(rate['low'], rate['high'])})"
    count = sum(entry["errors"].values())
    return names.rate(rate["median"]) + interval + (f", {sum(cpu):,.0f} µs" if cpu else "") + (f", {count:,} errors" if count else "")


def _table(result, placement):
    entries = result.entries(SCENARIO, placement=placement)
    paths = pictures.paths(entries)
    rows = [[system, *(_cell(result.entry(SCENARIO, placement=placement, path=path, system=system)) for path in paths)]
            for system in dict.fromkeys(entry["system"] for entry in sorted(entries, key=lambda entry: names.system_rank(entry["system"])))]
    figures = published.read()
    rates = [published.measurement(figures, SCENARIO, path) for path in paths]
    rows.append([f"Django, {figures['label']}", *(names.rate(one["figures"]["django"]["rate"]) if one else names.NOTHING for one in rates)])
    rate = findings.in_brackets("requests a second", entries)
    return Table(f"{pictures.command_words(result, SCENARIO)} on loopback: {rate}, CPU time that a request "
                 "takes from the system's own processes", ["system", *paths], rows)


def text(result, base):
    """What belongs between the markers, without them; `base` is the folder that pictures are named from."""
    place = os.path.relpath(result.folder, base)
    blocks = [Paragraph([findings.head(result), " ", Link("The whole report", f"{place}/report.md"), "."])]
    blocks += [Paragraph(words, banner=True) for words in findings.doubts(result)]
    found = findings.findings(result)
    blocks += [Items(found)] if found else []
    written = as_markdown.blocks(blocks)
    for placement, ending, words in pictures.placements(result, SCENARIO)[:1]:
        picture = f"{place}/throughput{ending}.svg".replace(" ", "%20")
        alt = f"Requests a second of every system on each path, with intervals{words}; the table below has the same figures"
        written += f"\n![{alt}]({picture})\n\n"
        written += as_markdown.blocks([_table(result, placement)])
    return written


def _parts(file):
    """The text before, between and behind the markers."""
    try:
        whole = file.read_text(encoding="utf-8")
    except OSError as error:
        raise RigError(f"{file}: {error.strerror}") from error
    if whole.count(BEGIN) != 1 or whole.count(END) != 1 or whole.index(BEGIN) > whole.index(END):
        raise RigError(f"{file}: a line {BEGIN} and, below it, a line {END} must stand in it once each, around what bench/report writes")
    before, rest = whole.split(BEGIN)
    between, after = rest.split(END)
    return before, between, after


def _wanted(result, file):
    return f"\n{text(result, file.resolve().parent)}"


def check(result, file, name):
    """0 when the file has what the result says, else 1 and the difference on standard error."""
    _, between, _ = _parts(file)
    wanted = _wanted(result, file)
    if between == wanted:
        print(f"{file}: its figures are those of {result.name}")
        return 0
    sys.stderr.writelines(difflib.unified_diff(between.splitlines(True), wanted.splitlines(True), str(file), result.name))
    print(f"bench: {file} does not say what {result.name} does: bench/report --readme {name} --update {file}", file=sys.stderr)
    return 1


def update(result, file):
    before, between, after = _parts(file)
    wanted = _wanted(result, file)
    if between != wanted:
        file.write_text(f"{before}{BEGIN}{wanted}{END}{after}", encoding="utf-8")
    print(f"{file}: {'written' if between != wanted else 'nothing to change'}")
    return 0
