"""Draws pictures with gnuplot: bars, stacked bars and lines, each in panels below each other. What is drawn is told in plain data; where
everything stands is computed here in pixels, so that nothing lies on anything else. Text never passes through gnuplot's own markup."""
import math
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from html import escape

from .stack import RigError

WIDTH = 800
FONT = 14
# DejaVu Sans is a wide font: what fits in it fits in those that stand for it.
FAMILIES = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif"
INK, SOFT, GRID = "#1A1A1A", "#555555", "#DDDDDD"
ROW, BAR = 25, 17
TITLE, PANEL_TITLE, AXIS = 36, 28, 46
TRUE_WIDTH = {**dict.fromkeys("ijl.,:;|'!()[]/ ", 0.39), **dict.fromkeys("mwMW%@µ", 0.95), **dict.fromkeys("frtI-", 0.42)}


@dataclass
class Bar:
    """A row. `low` and `high`: the interval, None when there is none. `parts` of a stacked bar: [(colour, value)]. `short`: the bar is
    shorter than its figure, and is drawn with a gap that says so."""

    label: str
    value: float
    text: str
    colour: str = SOFT
    low: float = None
    high: float = None
    parts: list = None
    short: bool = False


@dataclass
class Line:
    """`points`: [(x, y)] or [(x, y, low, high)]. `mark`: gnuplot's point type, 0 for none."""

    label: str
    colour: str
    points: list
    mark: int = 0


@dataclass
class Axis:
    """`ticks`: [(value, label)]. In a logarithmic axis all values are above 0."""

    label: str
    low: float
    high: float
    ticks: list
    show: callable
    log: bool = False

    def share(self, value):
        """Where on the axis, from 0 to 1."""
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return (value - low) / (high - low)


@dataclass
class Panel:
    title: str
    rows: list = field(default_factory=list)
    x: Axis = None
    y: Axis = None


@dataclass
class Picture:
    """`alt` says in words what there is to see."""

    name: str
    title: str
    caption: str
    alt: str
    svg: str


def text_width(text, size=FONT):
    return sum(TRUE_WIDTH.get(letter, 0.66) for letter in text) * size


def fitted(text, width, size=FONT - 1):
    """The text, or as much of its beginning as there is room for."""
    while text and text_width(text, size) > width:
        text = text.removesuffix("…")[:-1].rstrip() + "…" if len(text) > 2 else ""
    return text


def quoted(text):
    """For gnuplot: in single quotes only the quote itself means something."""
    return "'" + " ".join(str(text).split()).replace("'", "''") + "'"


def nice_step(most, count=5):
    """A step of 1, 2 or 5 times a power of ten, by which `most` is reached in about `count` steps."""
    raw = most / count
    power = 10 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)


def linear_axis(label, most, show=None):
    """From 0 to a little above `most`."""
    most = most if most > 0 else 1
    step = nice_step(most)
    show = show or (lambda value: f"{value:,.0f}" if step >= 1 else f"{value:g}")
    count = math.floor(most / step * 1.0001)
    return Axis(label, 0, most * 1.04, [(step * i, show(step * i)) for i in range(count + 1)], show)


def log_axis(label, values, show, ticks=None):
    """Around the values, with ticks at 1, 2, 5 of each decade when there are few decades, else at powers of ten."""
    low, high = min(values) / 1.25, max(values) * 1.25
    if ticks is None:
        few = math.log10(high / low) < 2
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        # One value, or some that are close, may lie between those: of the last, some always are within.
        for factors in ((1, 2, 5) if few else (1,), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
            ticks = [factor * 10.0 ** power for power in decades for factor in factors]
            if any(low <= value <= high for value in ticks):
                break
    return Axis(label, low, high, [(value, show(value)) for value in ticks if low <= value <= high], show, True)


# --- gnuplot ------------------------------------------------------------------------------------------------------------------------

class Script:
    """gnuplot's commands for a picture, in pixels from the upper left."""

    def __init__(self, height, title):
        self.height, self.blocks = round(height), 0
        self.lines = [f"set terminal svg size {WIDTH},{self.height} fixed noenhanced font 'DejaVu Sans,{FONT}' background rgb '#FFFFFF'",
                      "set encoding utf8", "set border 0", "unset key", "set tics scale 0", "set multiplot"]
        self.texts, self.arrows = [], []
        self.text(12, 18, title, size=15, bold=True)

    def at(self, x, y):
        return f"screen {x / WIDTH:.6f}, screen {1 - y / self.height:.6f}"

    def text(self, x, y, text, where="left", colour=INK, size=FONT - 1, turned=False, bold=False):
        font = f"'{'DejaVu Sans:Bold' if bold else ''},{size}'"
        self.texts.append(f"set label {quoted(text)} at {self.at(x, y)} {where} front tc rgb '{colour}' font {font}"
                          + (" rotate by 90" if turned else ""))

    def line(self, x1, y1, x2, y2, colour, width=1.0, front=False):
        self.arrows.append(f"set arrow from {self.at(x1, y1)} to {self.at(x2, y2)} nohead {'front' if front else 'back'} "
                           f"lc rgb '{colour}' lw {width}")

    def block(self, rows):
        """A data block; only numbers go into one."""
        self.blocks += 1
        self.lines += [f"$d{self.blocks} << EOD", *(" ".join(f"{value:.9g}" for value in row) for row in rows), "EOD"]
        return f"$d{self.blocks}"

    def window(self, left, top, right, bottom):
        self.lines += [f"set lmargin at screen {left / WIDTH:.6f}", f"set rmargin at screen {right / WIDTH:.6f}",
                       f"set tmargin at screen {1 - top / self.height:.6f}", f"set bmargin at screen {1 - bottom / self.height:.6f}"]

    def axis(self, which, axis, ticks=None):
        # A tick's label is a format to gnuplot, even in quotes.
        ticks = ", ".join(f"{quoted(label.replace('%', '%%'))} {value:.9g}" for value, label in (axis.ticks if ticks is None else ticks))
        raised = "offset 0,0.35 " if which == "x" else ""
        self.lines += [f"{'set' if axis.log else 'unset'} logscale {which}", f"set {which}range [{axis.low:.9g}:{axis.high:.9g}]",
                       f"set {which}tics ({ticks}) {raised}font ',{FONT - 2}' textcolor rgb '{SOFT}'" if ticks else f"unset {which}tics"]

    def plot(self, parts):
        self.lines += self.texts + self.arrows + ["plot " + ", ".join(parts), "unset label", "unset arrow"]
        self.texts, self.arrows = [], []

    def draw(self):
        gnuplot = shutil.which("gnuplot")
        if gnuplot is None:
            raise RigError("gnuplot is not installed, and draws the pictures: apt-get install gnuplot-nox (make bench installs it)")
        program = "\n".join([*self.lines, "unset multiplot", ""])
        try:
            done = subprocess.run([gnuplot, "--default-settings", "-"], input=program, capture_output=True, text=True, encoding="utf-8",
                                  timeout=60, check=False, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"})
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RigError(f"gnuplot does not draw: {error}") from error
        if done.returncode != 0 or not done.stdout.rstrip().endswith("</svg>"):
            raise RigError(f"gnuplot ({gnuplot}) does not draw; 5.4 of Debian 12's gnuplot-nox does:\n{done.stderr.strip()[-2000:]}")
        return done.stdout


def finished(svg, name, title, alt):
    """The SVG with a title and a description for those who do not see it, identifiers of its own, and fonts that are everywhere."""
    svg = re.sub(r"^<\?xml[^>]*\?>\s*", "", svg)
    svg = re.sub(r"<title>[^<]*</title>\s*(<desc>[^<]*</desc>\s*)?", "", svg)
    svg = re.sub(r"\bid=(['\"])([^'\"]*)\1", rf'id="{name}-\2"', svg)
    svg = re.sub(r"xlink:href='#([^']*)'", rf'xlink:href="#{name}-\1"', svg)
    svg = svg.replace(' font-family="DejaVu Sans:Bold"', ' font-weight="bold"').replace(' font-family="DejaVu Sans"', "")
    svg = re.sub(r"<g [^>]*>\s*</g>\s*", "", svg)
    head = f'<svg role="img" aria-labelledby="{name}-title {name}-desc" font-family="{FAMILIES}"'
    svg = re.sub(r"<svg\b", head, svg, count=1)
    words = f'<title id="{name}-title">{escape(title)}</title>\n<desc id="{name}-desc">{escape(alt)}</desc>\n'
    svg = re.sub(r"(<svg[^>]*>)", lambda found: " ".join(found[1].split()).replace(" >", ">") + "\n" + words, svg, count=1)
    return re.sub(r"[ \t]+\n|\n\s*\n+", "\n", svg)


# --- bars ---------------------------------------------------------------------------------------------------------------------------

def _legend(script, legend, y):
    x = 14
    for colour, label in legend:
        script.line(x, y, x + 16, y, colour, 12)
        script.text(x + 22, y, label, size=FONT - 2)
        x += 22 + text_width(label, FONT - 2) + 18


def _room(rows, width):
    """The largest value of the axis, such that each row's text has room behind its bar."""
    most = max(max(row.value, row.high or 0) for row in rows)
    wanted = [max(row.value, row.high or 0) * width / (width - text_width(row.text, FONT - 1) - 16) for row in rows]
    return max(*wanted, most * 1.02) or 1


def _panel_title(panel):
    return PANEL_TITLE if panel.title else 6


def bars(name, title, caption, panels, unit, *, legend=(), digits_in_bars=False):
    """Horizontal bars. The axis of each panel is its own, and says so by its numbers."""
    left = min(WIDTH / 2, max(text_width(row.label, FONT - 1) for panel in panels for row in panel.rows) + 26)
    right = WIDTH - 14
    height = TITLE + (24 if legend else 0) + sum(_panel_title(panel) + ROW * len(panel.rows) + AXIS for panel in panels)
    script, top = Script(height, title), TITLE
    if legend:
        _legend(script, legend, top + 8)
        top += 24
    for panel in panels:
        _bar_panel(script, panel, (left, top, right), unit, digits_in_bars)
        top += _panel_title(panel) + ROW * len(panel.rows) + AXIS
    told = [(f"{panel.title}: " if panel.title else "") + "; ".join(f"{row.label} {row.text}" for row in panel.rows) for panel in panels]
    alt = f"{title}. {'. '.join(told)}."
    return Picture(name, title, caption, alt, finished(script.draw(), name, title, alt))


def _bar_panel(script, panel, edges, unit, digits_in_bars):
    left, top, right = edges
    rows, width = panel.rows, right - left
    start = top + _panel_title(panel)
    end = start + ROW * len(rows)
    most = _room(rows, width)
    axis = linear_axis(unit, most)
    axis.high = most
    script.window(left, start, right, end)
    script.axis("x", axis, _apart(axis, width, WIDTH - left))
    script.lines += ["unset ytics", "unset logscale y", f"set yrange [{len(rows)}:0]", f"set grid xtics back lc rgb '{GRID}' lt 1"]
    script.text(12, top + 13, panel.title, size=FONT)
    script.text((left + right) / 2, end + 34, unit, "center", SOFT, FONT - 2)
    boxes, whiskers = [], []
    for index, row in enumerate(rows):
        middle = start + ROW * (index + 0.5)
        script.text(left - 8, middle, fitted(row.label, left - 18), "right")
        done = 0.0
        for colour, value in row.parts or [(row.colour, row.value)]:
            boxes.append((done, done + value, index + 0.5, BAR / ROW / 2, int(colour[1:], 16)))
            shown = f"{value:,.0f}"
            if digits_in_bars and not row.short and value / most * width > text_width(shown, FONT - 3) + 6:
                dark = _is_dark(colour)
                script.text(left + (done + value / 2) / most * width, middle, shown, "center", "#FFFFFF" if dark else INK, FONT - 3)
            done += value
        if row.short:
            x = left + row.value * 0.93 / most * width
            for shift in (0, 9):
                script.line(x + shift, middle + BAR / 2 + 2, x + shift + 8, middle - BAR / 2 - 2, "#FFFFFF", 3.5, front=True)
        if row.low is not None and row.high is not None and row.high > row.low:
            whiskers.append((row.value, index + 0.5, row.low, row.high))
        script.text(left + max(row.value, done, row.high or 0) / most * width + 8, middle, row.text, size=FONT - 1)
    script.line(left, start, left, end, SOFT, 1.5)
    parts = [f"{script.block(boxes)} using (($1+$2)/2):3:1:2:($3-$4):($3+$4):5 with boxxyerror fs solid 1 noborder lc rgb variable notitle"]
    if whiskers:
        # Light under dark, so that they are seen on bars of any colour.
        block = script.block(whiskers)
        parts += [f"{block} using 1:2:3:4 with xerrorbars pt 0 lw {width} lc rgb '{colour}' notitle"
                  for width, colour in ((4, "#FFFFFF"), (1.5, INK))]
    script.plot(parts)


def _is_dark(colour):
    red, green, blue = (int(colour[i:i + 2], 16) for i in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue < 140


# --- lines --------------------------------------------------------------------------------------------------------------------------

def spread(wanted, distance, low, high):
    """Places for labels as near as can be to where they are wanted, in the same order, `distance` apart, between low and high."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    # Groups of labels that touch: a group stands around the mean of what its members want.
    groups = []
    for index in order:
        groups.append([[index], wanted[index]])
        while True:
            members, middle = groups[-1]
            half = (len(members) - 1) * distance / 2
            groups[-1][1] = middle = min(max(middle, low + half), high - half)
            if len(groups) < 2:
                break
            before, centre = groups[-2]
            if centre + (len(before) - 1) * distance / 2 + distance <= middle - half + 1e-9:
                break
            joined = before + members
            middles = [wanted[one] - (i - (len(joined) - 1) / 2) * distance for i, one in enumerate(joined)]
            groups[-2:] = [[joined, sum(middles) / len(joined)]]
    places = [0.0] * len(wanted)
    for members, middle in groups:
        for i, index in enumerate(members):
            places[index] = middle + (i - (len(members) - 1) / 2) * distance
    return places


LABEL = FONT + 3


def lines(name, title, caption, panels, *, notes=()):
    """Curves with their names at their ends."""
    right = WIDTH - max(text_width(line.label, FONT - 1) for panel in panels for line in panel.rows) - 40
    left = max(text_width(label, FONT - 2) for panel in panels for _, label in panel.y.ticks) + 46
    heights = [max(230, LABEL * len(panel.rows) + 20) for panel in panels]
    height = TITLE + 20 * len(notes) + sum(PANEL_TITLE + plot + AXIS for plot in heights)
    script, top = Script(height, title), TITLE
    for note in notes:
        script.text(12, top + 6, note, colour=SOFT, size=FONT - 2)
        top += 20
    for panel, plot in zip(panels, heights):
        _line_panel(script, panel, (left, top + PANEL_TITLE, right, top + PANEL_TITLE + plot))
        top += PANEL_TITLE + plot + AXIS
    alt = f"{title}. " + " ".join(f"{panel.title}: " + "; ".join(_told(panel, line) for line in panel.rows) + "." for panel in panels)
    return Picture(name, title, caption, alt, finished(script.draw(), name, title, alt))


def _told(panel, line):
    """A curve in words: where it begins and where it ends."""
    ends = [line.points[0]] if len(line.points) == 1 else [line.points[0], line.points[-1]]
    return f"{line.label} " + " to ".join(_near(panel.y, point[1]) + " at " + _near(panel.x, point[0]) for point in ends)


def _near(axis, value):
    exact = next((label for tick, label in axis.ticks if tick == value), None)
    return exact if exact is not None else axis.show(value)


def _line_panel(script, panel, edges):
    left, top, right, bottom = edges
    script.window(*edges)
    script.axis("x", panel.x, _apart(panel.x, right - left))
    script.axis("y", panel.y)
    script.lines.append(f"set grid xtics ytics back lc rgb '{GRID}' lt 1")
    script.text(12, top - 15, panel.title, size=FONT)
    script.text((left + right) / 2, bottom + 34, panel.x.label, "center", SOFT, FONT - 2)
    script.text(16, (top + bottom) / 2, panel.y.label, "center", SOFT, FONT - 2, turned=True)
    script.line(left, bottom, right, bottom, SOFT, 1.5)
    ends = [(left + panel.x.share(line.points[-1][0]) * (right - left), bottom - panel.y.share(line.points[-1][1]) * (bottom - top))
            for line in panel.rows]
    places = spread([y for _, y in ends], LABEL, top + LABEL / 2, bottom - LABEL / 2)
    parts = []
    for line, (x, y), place in zip(panel.rows, ends, places):
        script.line(x + 2, y, right + 12, place, line.colour, 0.8)
        script.line(right + 12, place, right + 20, place, line.colour, 3)
        script.text(right + 25, place, line.label)
        block = script.block(point[:2] for point in line.points)
        parts.append(f"{block} using 1:2 with lines lw 2.2 lc rgb '{line.colour}' notitle")
        if line.mark:
            parts.append(f"{block} using 1:2 with points pt {line.mark} ps 0.7 lc rgb '{line.colour}' notitle")
        whiskers = [point for point in line.points if len(point) == 4 and point[3] > point[2]]
        if whiskers:
            # gnuplot's own error bars blot out the line below them.
            parts.append(f"{script.block(whiskers)} using 1:3:(0):($4-$3) with vectors heads size screen 0.005,90 nofilled lw 1.4 "
                         f"lc rgb '{line.colour}' notitle")
    script.plot(parts)


def _apart(axis, width, room=math.inf):
    """The ticks, labelled where there is room for it: between each other, and `room` pixels from the axis's beginning."""
    kept, free = [], -math.inf
    for value, label in axis.ticks:
        half = text_width(label, FONT - 2) / 2
        middle = axis.share(value) * width
        if middle - half >= free and middle + half <= room:
            kept.append((value, label))
            free = middle + half + 8
        else:
            kept.append((value, ""))
    return kept
