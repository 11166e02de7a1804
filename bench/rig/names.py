"""Systems, components and steps as the report shows them: their order, their colours, their words."""
from .scenario import HEADLINE, PATHS, SHARE_ON

# Okabe and Ito's palette, which people with any colour vision can tell apart; a system has its colour in every picture. Limits are greys.
COLOURS = {
    HEADLINE: "#0072B2",
    SHARE_ON: "#56B4E9",
    "django published": "#D55E00",
    "django best": "#E69F00",
    "php-fpm best": "#CC79A7",
    "aiohttp best": "#009E73",
    "fastify best": "#000000",
    "nginx return 200": "#BBBBBB",
    "nginx static file": "#999999",
    "null responder": "#777777",
    "pgbench": "#555555",
}
OTHER_COLOUR = "#8C6D31"
# Marks of lines, so that colour is not all that tells them apart: gnuplot's filled circle, square, triangles, diamond, pentagon.
MARKS = dict(zip(COLOURS, (7, 5, 9, 11, 13, 15, 4)))

# Light to dark, so that the order holds in grey too; none is the colour of a system.
COMPONENTS = {"nginx": "#F0E442", "app": "#6B6B83", "postgres": "#B8A078", "client": "#DDDDDD"}
COMPONENT_NAMES = {"nginx": "nginx", "app": "application", "postgres": "PostgreSQL", "client": "load generator"}

SCENARIOS = ("closed-local", "rate-4000", "rate-10", "hops", "ladder-rate", "ladder-connections", "ladder-rows", "ladder-workers",
             "slow-db", "queries")
PLACEMENTS = ("unpinned", "pinned")


def rank(name, order):
    """A key that sorts the names of `order` as they stand there, and others behind them by themselves."""
    order = list(order)
    return (order.index(name), "") if name in order else (len(order), name)


def system_rank(name):
    return rank(name, COLOURS)


def path_rank(path):
    return rank(path, PATHS)


def entry_rank(entry):
    """Sorts the members of a summary."""
    return (rank(entry["scenario"], SCENARIOS), rank(entry["placement"], PLACEMENTS), path_rank(entry["path"]), step_rank(entry["step"]),
            system_rank(entry["system"]))


def step_key(step):
    """Something that can be compared and hashed."""
    return tuple(sorted(step.items()))


def step_rank(step):
    return tuple((name, 0, value, "") if isinstance(value, (int, float)) else (name, 1, 0, str(value)) for name, value in step_key(step))


def step_value(step):
    """The number of a step, by which it goes along an axis; None when it has not exactly one."""
    values = [value for value in step.values() if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return values[0] if len(values) == 1 else None


STEP_WORDS = {"rate_share": lambda v: f"{v * 100:.0f} % of its capacity", "connections": lambda v: f"{v:,} connections",
              "rows": lambda v: f"{v:,} rows", "workers": lambda v: f"{v:,} worker{'s' if v != 1 else ''}",
              "delay_ms": lambda v: f"{v:g} ms added" if v else "no delay"}


def step_text(step):
    words = []
    for name, value in sorted(step.items()):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        words.append(STEP_WORDS[name](value) if name in STEP_WORDS and number else f"{name.replace('_', ' ')} {value}")
    return ", ".join(words)


# --- figures in words ---------------------------------------------------------------------------------------------------------------

NOTHING = "–"


def number(value, digits=0):
    return NOTHING if value is None else f"{value:,.{digits}f}"


def rate(value):
    """Whole requests, but tenths of small rates."""
    return number(value, 0 if value is None or value >= 100 else 1)


def span(low, high, show=rate):
    return f"{show(low)}–{show(high)}"


# With fewer rounds the widest interval there is, from the lowest to the highest, holds the median less often than 95 times in 100.
FEW = 5


def interval(counts, of="rounds"):
    """What stands in brackets behind medians of so many rounds each; None when all are of one."""
    counts = sorted({count for count in counts if count > 1})
    if not counts:
        return None
    if counts[0] >= FEW:
        return "95 % interval"
    if counts[-1] >= FEW:
        return f"95 % interval; of fewer than {FEW} {of} lowest–highest"
    return f"lowest–highest of {counts[0]}{f' to {counts[-1]}' if counts[-1] > counts[0] else ''} {of}"


def percent(share):
    """Of a share with three digits: 85.4 %, 100 %."""
    return f"{100 * share:.3g} %"


def times(value):
    """A ratio with about two significant digits, and two behind the point about 1."""
    if value >= 9.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1.95 else f"{value:.2f}" if value >= 0.0995 else f"{value:.3f}"


def times_span(low, high):
    """Both ends of an interval with the digits of the upper one."""
    digits = 0 if high >= 9.95 else 1 if high >= 1.95 else 2 if high >= 0.0995 else 3
    return f"{low:,.{digits}f}–{high:,.{digits}f}"


def duration(us):
    """Microseconds as a reader wants them: 850 µs, 3.21 ms, 1.37 s, 2.4 min."""
    if us is None:
        return NOTHING
    for limit, unit, name in ((1_000, 1, "µs"), (1_000_000, 1_000, "ms"), (120_000_000, 1_000_000, "s")):
        if us < limit * 0.9995:
            value = us / unit
            digits = 0 if unit == 1 or value >= 99.95 else 1 if value >= 9.995 else 2
            return f"{value:.{digits}f} {name}"
    return f"{us / 60_000_000:.1f} min"


def tick(us):
    """The same at an axis, where all figures are round."""
    value, unit = duration(us).split(" ")
    return f"{float(value):g} {unit}"


ERROR_WORDS = {"non_2xx": "non-2xx"}


def errors(counts):
    return ", ".join(f"{ERROR_WORDS.get(name, name)} {count:,}" for name, count in counts.items() if count) or "none"
