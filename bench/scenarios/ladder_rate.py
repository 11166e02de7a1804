"""Latency on the way to saturation."""
from rig.scenario import SERVICES, SHARE_OFF, Impossible, Point, Scenario

CONNECTIONS = 64


class LadderRate(Scenario):
    name = "ladder-rate"
    title = "Latency at shares of the capacity that each system has in the same run"
    question = "How long do requests take, from the moment they were due, when a system is asked for 10 to 90 % of what it can answer?"
    in_profiles = ("smoke", "quick", "full")
    # capacity_s: of the closed loop whose rate is the capacity. Peers: whether they take part, in their best forms.
    profiles = {
        "smoke": {"rounds": 1, "seconds": 1, "capacity_s": 1, "warmup_s": 0, "shares": (0.5,), "systems": (SHARE_OFF,),
                  "paths": ("/agents",), "peers": False},
        "quick": {"rounds": 1, "seconds": 3, "capacity_s": 3, "warmup_s": 1, "shares": (0.1, 0.3, 0.5, 0.7, 0.9), "systems": (SHARE_OFF,),
                  "paths": ("/agents",), "peers": False},
        "full": {"rounds": 3, "seconds": 15, "capacity_s": 10, "warmup_s": 2, "shares": tuple(n / 10 for n in range(1, 10)),
                 "systems": SERVICES, "paths": ("/index", "/agents"), "peers": True},
    }

    def points(self):
        pairs = [(system, path) for system in self.values["systems"] for path in self.values["paths"]]
        if self.values["peers"]:
            pairs += [(system, "/agents") for system in self.settings.peers if system.endswith(" best")]
        return [Point.at(system, path, rate_share=share) for system, path in pairs for share in self.values["shares"]]

    def seconds_of(self, point):
        return self.seconds + self.values["warmup_s"] + self.values["capacity_s"] / len(self.values["shares"]) / self.rounds

    def measure(self, lab, point):
        target = lab.system(point.system)
        rate = self._capacity(lab, target, point) * dict(point.step)["rate_share"]
        return lab.pace(target, point, rate=rate, connections=CONNECTIONS, seconds=self.seconds, warmup_s=self.values["warmup_s"],
                        timeout_s=10)

    def _capacity(self, lab, target, point):
        """What the same connections reach in a closed loop, in whole requests a second: measured once for a system and path."""
        name = f"{point.system} {point.path}"
        if name not in lab.capacity:
            lab.capacity[name] = self._recalled(lab, point) or self._measured(lab, target, point, name)
        return lab.capacity[name]

    def _recalled(self, lab, point):
        """From the runs of a result that goes on, so that its shares stay shares of the same; None of a new one."""
        for run in lab.journal.runs:
            if (run["scenario"], run["system"], run["path"]) == (self.name, point.system, point.path):
                return round(run["rate_asked"] / run["step"]["rate_share"])
        return None

    def _measured(self, lab, target, point, name):
        record, outputs = lab.wrk(target, point, connections=CONNECTIONS, seconds=self.values["capacity_s"])
        lab.journal.keep_text(f"capacity-{name.replace(' /', '-').replace(' ', '-').replace('=', '-')}.txt", outputs["txt"])
        if record["void"] or record["rate"] < 1:
            raise Impossible(f"no capacity, since {record['void'] or 'the closed loop got no answer'}")
        return round(record["rate"])
