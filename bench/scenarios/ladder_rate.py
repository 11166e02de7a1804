"""Latency on the way to saturation."""
from rig.scenario import SERVICES, SHARE_OFF, Impossible, Point, Scenario

CONNECTIONS = 64


class LadderRate(Scenario):
    name = "ladder-rate"
    title = "Latency at shares of the capacity that each system has in the same run"
    question = "How long do requests take, from the moment they were due, when a system is asked for 10 to 90 % of what it can answer?"
    in_profiles = ("smoke", "quick", "full")
    # capacity_s: of the closed loop whose rate is the capacity. pinned: the paths that are measured so as well, where the generator cannot
    # be late for want of a CPU. Peers: whether they take part, in their best forms.
    profiles = {
        "smoke": {"rounds": 1, "seconds": 1, "capacity_s": 1, "warmup_s": 0, "shares": (0.5,), "systems": (SHARE_OFF,),
                  "paths": ("/agents",), "pinned": (), "peers": False},
        "quick": {"rounds": 1, "seconds": 3, "capacity_s": 3, "warmup_s": 1, "shares": (0.1, 0.3, 0.5, 0.7, 0.9), "systems": (SHARE_OFF,),
                  "paths": ("/agents",), "pinned": (), "peers": False},
        "full": {"rounds": 3, "seconds": 15, "capacity_s": 10, "warmup_s": 2, "shares": tuple(n / 10 for n in range(1, 10)),
                 "systems": SERVICES, "paths": ("/index", "/agents"), "pinned": ("/agents",), "peers": True},
    }

    def points(self):
        found = [(system, path, "unpinned") for system in self.values["systems"] for path in self.values["paths"]]
        found += [(system, path, "pinned") for system in self.values["systems"] for path in self.values["pinned"]]
        if self.values["peers"]:
            found += [(system, "/agents", "unpinned") for system in self.settings.peers if system.endswith(" best")]
        return [Point.at(*place, rate_share=share) for place in found for share in self.values["shares"]]

    def seconds_of(self, point):
        return self.seconds + self.values["warmup_s"] + self.values["capacity_s"] / len(self.values["shares"]) / self.rounds

    def measure(self, lab, point):
        target = lab.system(point.system)
        rate = self._capacity(lab, target, point) * dict(point.step)["rate_share"]
        return lab.pace(target, point, rate=rate, connections=CONNECTIONS, seconds=self.seconds, warmup_s=self.values["warmup_s"],
                        timeout_s=10)

    def _capacity(self, lab, target, point):
        """What the same connections reach in a closed loop, in whole requests a second: measured once for a system, path and placement."""
        name = f"{point.system} {point.path}{'' if point.placement == 'unpinned' else ' ' + point.placement}"
        if name not in lab.capacity:
            lab.capacity[name] = self._recalled(lab, point) or self._measured(lab, target, point, name)
        return lab.capacity[name]

    def _recalled(self, lab, point):
        """From the runs of a result that goes on, so that its shares stay shares of the same; None of a new one."""
        for run in lab.journal.runs:
            if (run["scenario"], run["system"], run["path"], run["placement"]) == (self.name, point.system, point.path, point.placement):
                return round(run["rate_asked"] / run["step"]["rate_share"])
        return None

    def _measured(self, lab, target, point, name):
        record, outputs = lab.wrk(target, point, connections=CONNECTIONS, seconds=self.values["capacity_s"])
        lab.journal.keep_text(f"capacity-{name.replace(' /', '-').replace(' ', '-').replace('=', '-')}.txt", outputs["txt"])
        if record["void"] or record["rate"] < 1:
            raise Impossible(f"no capacity, since {record['void'] or 'the closed loop got no answer'}")
        return round(record["rate"])
