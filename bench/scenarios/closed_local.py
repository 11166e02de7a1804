"""The published closed loop."""
from rig.scenario import HEADLINE, PATHS, SERVICES, Point, Scenario


class ClosedLocal(Scenario):
    name = "closed-local"
    title = "Closed loop on loopback: 400 connections, each waiting for its answer"
    question = "How many requests a second does each system answer when 400 clients ask as fast as they are answered?"
    published_command = "wrk -t12 -c400 -d30s http://127.0.0.1:8004/index"
    in_profiles = ("smoke", "quick", "full")
    profiles = {
        "smoke": {"rounds": 1, "seconds": 1, "again": False, "pinned": ()},
        "quick": {"rounds": 5, "seconds": 3, "again": True, "pinned": ()},
        "full": {"rounds": 5, "seconds": 30, "again": True, "pinned": None},
    }

    def points(self):
        systems = (*SERVICES, *self.settings.peers)
        pinned = systems if self.values["pinned"] is None else self.values["pinned"]
        found = [Point.at(system, path) for system in systems for path in PATHS]
        found += [Point.at(system, path, placement="pinned") for system in pinned for path in PATHS]
        if self.values["again"]:
            found += [Point.at(HEADLINE, path, again=True) for path in PATHS]
        return found

    def measure(self, lab, point):
        return lab.wrk(lab.system(point.system), point, connections=400, seconds=self.seconds, threads=12,
                       timeout_s=2)  # wrk's default, as published
