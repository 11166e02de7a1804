"""Where results go, tables, and progress."""
import json
import os
import re
import sys
import time
from contextlib import contextmanager

from . import environment
from .stack import PROJECT, RigError


@contextmanager
def result_folder(part, name):
    """Made before anything runs, so that an hour's figures have somewhere to go; gone again when nothing came of it."""
    name = name or time.strftime("%Y%m%d-%H%M%S")
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,80}", name):
        raise RigError(f"--name {name}: only letters, digits and . _ - may stand in it")
    folder = PROJECT / "bench/results" / f"{part}-{name}"
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise RigError(f"{folder.relative_to(PROJECT)} exists already: choose another --name") from None
    except OSError as error:
        raise RigError(f"{folder.relative_to(PROJECT)}: {error.strerror}") from error
    try:
        yield folder
    finally:
        if not any(folder.iterdir()):
            folder.rmdir()


def write(folder, part, data, text):
    (folder / f"{part}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    (folder / f"{part}.md").write_text(text + environment.as_markdown(data["environment"]), encoding="utf-8")
    print(f"\n{text}\nwritten: {folder.relative_to(PROJECT)}/{part}.md and .json", flush=True)


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]) + "\n"


def number(value, digits=0):
    return "–" if value is None else f"{value:,.{digits}f}"


def verdict(met):
    return "met" if met else "NOT MET"


class Progress:
    """A line a step, with an estimate of the time left from the steps so far."""

    def __init__(self, steps):
        self.steps, self.done, self.start = steps, 0, time.monotonic()

    def step(self, text):
        self.done += 1
        left = (time.monotonic() - self.start) / self.done * (self.steps - self.done)
        print(f"[{self.done}/{self.steps}, {int(left // 60)}:{int(left % 60):02d} left] {text}", flush=True)


def positive(text):
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def main(part):
    """Runs a part of the rig: 0 when all floors are met, 1 when not, 2 when it could not measure."""
    try:
        return part()
    except RigError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench: interrupted; everything it started has been ended", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
