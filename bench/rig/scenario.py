"""What a scenario is: points, which are measured once a round, and what has to be up for them."""
from contextlib import contextmanager
from dataclasses import dataclass, field

PATHS = ("/index", "/agents", "/agents_with_orm")
SHARE_OFF, SHARE_ON = "agents-fcgi share=off", "agents-fcgi share=on"
SERVICES = (SHARE_OFF, SHARE_ON)
HEADLINE = SHARE_OFF
PROFILES = ("smoke", "quick", "full")
# Bringing a system up, warming it up, looking at its answers, ending it; for the estimate only.
SYSTEM_S, RUN_S = 2.0, 0.3


@dataclass(frozen=True)
class Point:
    """One thing to measure. `step` says where on a ladder: {"connections": 400}. `again` marks the second of an A/A pair."""

    system: str
    path: str
    step: tuple = ()
    placement: str = "unpinned"
    again: bool = False

    @staticmethod
    def at(system, path, placement="unpinned", again=False, **step):
        return Point(system, path, tuple(step.items()), placement, again)

    def key(self, scenario, turn):
        """What tells a run from all others of a result."""
        return (scenario, turn, self.placement, self.system, self.again, self.path, tuple(sorted(self.step)))


@dataclass(frozen=True)
class Settings:
    """What the user has asked for. `peers` are names of systems, such as "django published"."""

    profile: str
    peers: tuple = ()
    workers: int = 16
    seed: int = 1


class Scenario:
    """Subclasses set these and define points(), and measure(). Nothing may be started before open()."""

    name = title = question = ""
    published_command = None
    needs_root = False
    # The profiles whose "all" it belongs to.
    in_profiles = ()
    # Whether a step needs systems of its own, so that its points are measured together.
    by_step = False
    # By profile: rounds, seconds and whatever else the scenario needs; a profile that is missing leaves the scenario out.
    profiles = {}

    def __init__(self, settings):
        self.settings = settings
        self.values = self.profiles.get(settings.profile) or self.profiles["smoke"]
        self.rounds, self.seconds = self.values["rounds"], self.values["seconds"]

    def points(self):
        """All that one round measures, in no order."""
        raise NotImplementedError

    @contextmanager
    def open(self, lab):
        """Brings up what all points need. Systems that only some need come up in measure(), through the lab."""
        yield

    def measure(self, lab, point):
        """The record of one run. PeerError leaves the system out; Impossible skips the point; RigError ends the scenario."""
        raise NotImplementedError

    def seconds_of(self, point):
        """How long a point's run takes, for the estimate."""
        return self.seconds

    def estimate_s(self):
        points = self.points()
        groups = {(point.system, point.again, point.step) if point.step else (point.system, point.again) for point in points}
        return self.rounds * (sum(self.seconds_of(point) + RUN_S for point in points) + SYSTEM_S * len(groups))


class Impossible(Exception):
    """What a point needs is not there: too few file descriptors, no root. Its text is the reason that the report gives."""


@dataclass
class Target:
    """A system that is up. `client` are the words that bring a program to where its clients are."""

    name: str
    base_url: str
    parts: dict = field(default_factory=dict)
    client: tuple = ()
    # Whether the golden bytes must come, or only the same JSON values, in any form.
    golden: bool = True
    peer: object = None
    # Where it serves what stands for a path, when that is elsewhere: {"/index": "/return200"}.
    elsewhere: dict = field(default_factory=dict)

    def url(self, path):
        return self.base_url + self.elsewhere.get(path, path)
