"""How many workers it takes."""
from rig.scenario import SERVICES, Point, Scenario

PATH = "/agents"


class LadderWorkers(Scenario):
    name = "ladder-workers"
    title = "Closed loop with more and more workers"
    question = "How many workers does the service need on this machine, and what do more of them cost?"
    by_step = True
    profiles = {
        "smoke": {"rounds": 1, "seconds": 1, "steps": (2,), "systems": SERVICES[:1]},
        "quick": {"rounds": 1, "seconds": 3, "steps": (1, 2, 4, 8, 16, 32), "systems": SERVICES},
        "full": {"rounds": 5, "seconds": 10, "steps": (1, 2, 4, 8, 16, 32), "systems": SERVICES},
    }
    in_profiles = ("full",)

    def points(self):
        return [Point.at(system, PATH, workers=step) for system in self.values["systems"] for step in self.values["steps"]]

    def measure(self, lab, point):
        return lab.wrk(lab.system(point.system, workers=dict(point.step)["workers"]), point, connections=64, seconds=self.seconds)
