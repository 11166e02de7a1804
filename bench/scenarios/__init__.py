"""What can be measured. A scenario is a module here; ORDER is the order in which they run and are reported."""
from importlib import import_module
from pathlib import Path

ORDER = ("closed-local", "rate-4000", "rate-10", "hops", "queries", "ladder-rate", "ladder-connections", "ladder-rows", "ladder-workers", "slow-db")


def known():
    """{name: class}, in that order."""
    found = {}
    for file in Path(__file__).parent.glob("[a-z]*.py"):
        for kind in vars(import_module(f"{__name__}.{file.stem}")).values():
            if isinstance(kind, type) and getattr(kind, "name", "") in ORDER:
                found[kind.name] = kind
    return {name: found[name] for name in ORDER if name in found}
