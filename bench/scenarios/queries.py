"""Queries per request, counted by PostgreSQL, in a run of its own since counting costs CPU."""
from rig.scenario import PATHS, SERVICES, Point, Scenario


class Queries(Scenario):
    name = "queries"
    title = "Database queries per request, counted by pg_stat_statements"
    question = "How many statements does PostgreSQL execute for one request, when 16 clients ask at once?"
    in_profiles = ("smoke", "quick", "full")
    profiles = {
        "smoke": {"rounds": 1, "seconds": 1, "each": 10},
        "quick": {"rounds": 1, "seconds": 1, "each": 50},
        "full": {"rounds": 1, "seconds": 5, "each": 500},
    }

    def points(self):
        return [Point.at(system, path) for system in (*SERVICES, *self.settings.peers) for path in PATHS[1:]]

    def measure(self, lab, point):
        return lab.count_queries(lab.system(point.system), point.path, threads=16, each=self.values["each"])
