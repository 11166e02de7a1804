"""The folder of a result while it grows: a line per run, raw outputs beside it. What was measured stays, whatever happens next."""
import gzip
import json
import re
import time
from contextlib import contextmanager

from .stack import PROJECT, RigError

RESULTS = PROJECT / "bench/results"


def find_folder(name, profile):
    name = name or f"{profile}-{time.strftime('%Y%m%d-%H%M%S')}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name):
        raise RigError(f"NAME={name}: only letters, digits and . _ - may stand in it, a letter or digit first")
    return RESULTS / name


class Journal:
    """Opens a new folder, or with `resume` one that an interrupted run with the same arguments has left."""

    def __init__(self, folder, arguments, resume):
        self.folder, self.arguments = folder, arguments
        # Of a folder that is resumed: its result so far.
        self.runs, self.keys, self.before = [], set(), None
        shown = folder.relative_to(PROJECT)
        if folder.exists():
            if not resume:
                raise RigError(f"{shown} exists already: choose another NAME=, or go on with it by RESUME=1")
            self._recall(shown)
        elif resume:
            raise RigError(f"{shown} does not exist, so there is nothing to resume")

    def make(self):
        """The folder, where there is none yet."""
        with self._writing():
            (self.folder / "raw").mkdir(parents=True, exist_ok=True)
            (self.folder / "environment").mkdir(exist_ok=True)

    def _recall(self, shown):
        try:
            before = json.loads((self.folder / "result.json").read_text(encoding="utf-8"))
            lines = (self.folder / "runs.jsonl").read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise RigError(f"{shown} cannot be resumed: {error}") from error
        if before["complete"]:
            raise RigError(f"{shown} is complete: there is nothing to resume")
        for name, value in self.arguments.items():
            if before["arguments"].get(name) != value:
                raise RigError(f"{shown} was begun with {name}={before['arguments'].get(name)}, not {value}: resume it with the same")
        for number, line in enumerate(lines):
            try:
                self._keep(json.loads(line))
            except (ValueError, KeyError) as error:
                if number + 1 < len(lines):
                    raise RigError(f"{shown}/runs.jsonl, line {number + 1}: {error}") from error
        self.before = before
        # Without the line that a kill has cut.
        text = "".join(json.dumps(run) + "\n" for run in self.runs)
        (self.folder / "runs.jsonl").write_text(text, encoding="utf-8")

    def _keep(self, run):
        key = (run["scenario"], run["round"], run["placement"], run["system"], run["again"], run["path"],
               tuple(sorted(run["step"].items())))
        self.runs.append(run)
        self.keys.add(key)

    @contextmanager
    def _writing(self):
        try:
            yield
        except OSError as error:
            raise RigError(f"{self.folder.relative_to(PROJECT)} cannot be written: {error.strerror}; what is in it stays") from error

    @property
    def next_number(self):
        return max((run["n"] for run in self.runs), default=0) + 1

    def add(self, run, outputs):
        """Numbers the run, keeps its raw outputs ({"txt": …, "json": …}) and writes its line."""
        run = {"n": self.next_number, **run, "raw": None, "histogram": None}
        with self._writing():
            for ending, member in (("txt", "raw"), ("json", "histogram")):
                if outputs.get(ending):
                    run[member] = f"raw/{run['n']:04d}.{ending}.gz"
                    # No time of its own in it: the same output makes the same file.
                    (self.folder / run[member]).write_bytes(gzip.compress(outputs[ending].encode(), mtime=0))
            with open(self.folder / "runs.jsonl", "a", encoding="utf-8") as f:
                f.write(json.dumps(run) + "\n")
        self._keep(run)
        return run

    def keep_text(self, name, text):
        with self._writing():
            (self.folder / "environment" / name).write_text(text, encoding="utf-8")

    def write_result(self, result):
        path = self.folder / "result.json"
        new = path.with_suffix(".new")
        with self._writing():
            new.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            new.replace(path)
