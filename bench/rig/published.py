"""The published figures, from bench/published.json. They are shown beside ours and never divided by them."""
import json

from . import names
from .stack import PROJECT

FILE = PROJECT / "bench/published.json"


def read():
    return json.loads(FILE.read_text(encoding="utf-8"))


def measurement(published, scenario, path):
    return next((one for one in published["measurements"] if (one["scenario"], one["path"]) == (scenario, path)), None)


def in_words(figures):
    """2,344/s; mean 7.70 s, max 13.3 s; connect 396, timeout 4,093"""
    parts = [f"{names.rate(figures['rate'])}/s"] if figures["rate"] is not None else []
    latencies = [(word, figures[f"latency_{word}_us"]) for word in ("mean", "max")]
    latency = [f"{word} {names.duration(us)}" for word, us in latencies if us is not None]
    parts += [", ".join(latency)] if latency else []
    if figures["errors"] is not None:
        found = names.errors(figures["errors"])
        parts.append("no errors" if found == "none" else found)
    return "; ".join(parts)


def of_system(published, scenario, path, system):
    """What was published of the application that a system here stands for; None when nothing was."""
    one = measurement(published, scenario, path)
    key = next((key for key, application in published["applications"].items() if application["system"] == system), None)
    return in_words(one["figures"][key]) if one and key in one["figures"] else None


def of_others(published, scenario, path, systems):
    """[(title, words)] of the applications that none of these systems stands for."""
    one = measurement(published, scenario, path)
    return [(published["applications"][key]["title"], in_words(figures)) for key, figures in (one["figures"] if one else {}).items()
            if published["applications"][key]["system"] not in systems]
