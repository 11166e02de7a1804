"""Where the time goes: each hop of a request alone."""
from contextlib import contextmanager

from rig.queries import running_sql
from rig.scenario import HEADLINE, PATHS, SERVICES, SHARE_OFF, SHARE_ON, Point, Scenario
from rig.stack import PROJECT


class Hops(Scenario):
    name = "hops"
    title = "Hop by hop: nginx alone, a FastCGI hop that does nothing, the service, PostgreSQL alone"
    question = "How close is the service to the limits of nginx, of the FastCGI hop and of PostgreSQL on this machine?"
    in_profiles = ("smoke", "quick", "full")
    profiles = {
        "smoke": {"rounds": 1, "seconds": 1, "placements": ("unpinned",), "paths": PATHS[:1], "pinned": (), "again": False},
        "quick": {"rounds": 3, "seconds": 2, "placements": ("unpinned", "pinned"), "paths": PATHS, "pinned": ("/agents",), "again": True},
        "full": {"rounds": 5, "seconds": 10, "placements": ("unpinned", "pinned"), "paths": PATHS, "pinned": PATHS, "again": True},
    }

    def points(self):
        paths = self.values["paths"]
        alone = [("nginx return 200", "/index")] + [("nginx static file", "/agents")] * ("/agents" in paths)
        alone += [("null responder", path) for path in paths]
        alone += [(system, path) for system in SERVICES for path in paths if (system, path) != (SHARE_ON, "/index")]
        alone += [("pgbench", path) for path in paths if path != "/index"]
        found = [Point.at(system, path, placement) for system, path in alone for placement in self.values["placements"]
                 if placement == "unpinned" or path in self.values["pinned"]]
        return found + [Point.at(HEADLINE, point.path, point.placement, again=True) for point in found
                        if point.system == HEADLINE and self.values["again"]]

    @contextmanager
    def open(self, lab):
        self.nulls = lab.nulls(self.values["paths"])
        first = next(iter(self.nulls.values()))
        self.alone = {"nginx return 200": lab.nginx_alone(first, "nginx return 200", "/index", "/return200"),
                      "nginx static file": lab.nginx_alone(first, "nginx static file", "/agents", "/static")}
        self.sql = {"/agents": (PROJECT / "sql/queries/agents.sql").read_text(encoding="utf-8"),
                    "/agents_with_orm": running_sql(lab.database, "/agents_with_orm",
                                                    lambda: lab.fetch(lab.system(SHARE_OFF), "/agents_with_orm"))}
        yield

    def measure(self, lab, point):
        if point.system == "pgbench":
            lab.clear()
            return lab.pgbench(point, self.sql[point.path], clients=8, seconds=self.seconds)
        if point.system in SERVICES:
            target = lab.system(point.system)
        else:
            lab.clear()
            target = self.nulls[point.path] if point.system == "null responder" else self.alone[point.system]
        return lab.wrk(target, point, connections=64, seconds=self.seconds)
