"""The published fixed rates, from the intended start of each request, over the 1 Gb/s link."""
from rig.scenario import PATHS, SERVICES, Point, Scenario


class OverLink(Scenario):
    """No warm-up within the run: a system that cannot keep up would answer the warm-up's requests in the measured time. wrk warms it up before."""

    needs_root = True
    rate = connections = 0

    def points(self):
        systems = (*SERVICES, *(name for name in self.settings.peers if self.values["peers"] is None or name in self.values["peers"]))
        return [Point.at(system, path) for system in systems for path in self.values["paths"]]

    def measure(self, lab, point):
        # A fresh one each time: what one load has left waiting would be answered during the next.
        target = lab.system(point.system, linked=True, fresh=True)
        return lab.pace(target, point, rate=self.rate, connections=self.connections, seconds=self.seconds, warmup_s=0,
                        timeout_s=self.values["timeout_s"])


class Rate4000(OverLink):
    name = "rate-4000"
    title = "4,000 requests a second over 400 connections and 1 Gb/s"
    question = "Does each system keep up with 4,000 requests a second, and how long do they take from the moment they were due?"
    published_command = "wrk2 -t12 -c400 -d5m -R 4000 http://192.168.2.100:8004/index"
    rate, connections = 4000, 400
    in_profiles = ("smoke", "quick", "full")
    profiles = {
        "smoke": {"rounds": 1, "seconds": 1, "timeout_s": 5, "paths": PATHS[:1], "peers": ()},
        "quick": {"rounds": 1, "seconds": 5, "timeout_s": 4, "paths": PATHS, "peers": ("django published", "django best")},
        "full": {"rounds": 3, "seconds": 300, "timeout_s": 30, "paths": PATHS, "peers": None},
    }


class Rate10(OverLink):
    name = "rate-10"
    title = "10 requests a second over 10 connections and 1 Gb/s"
    question = "How long does a request take when nothing else is asked for?"
    published_command = "wrk2 -t10 -c10 -d30s -R 10 http://192.168.2.100:8004/index"
    rate, connections = 10, 10
    in_profiles = ("smoke", "quick", "full")
    profiles = {
        "smoke": {"rounds": 1, "seconds": 1, "timeout_s": 5, "paths": PATHS[:1], "peers": ()},
        "quick": {"rounds": 1, "seconds": 3, "timeout_s": 4, "paths": PATHS, "peers": ("django published", "django best")},
        "full": {"rounds": 3, "seconds": 30, "timeout_s": 30, "paths": PATHS, "peers": None},
    }
