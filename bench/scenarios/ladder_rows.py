"""Answers that grow with the table."""
from contextlib import contextmanager

from rig.lab import DATABASE_WORKERS, end_tree
from rig.scenario import SERVICES, Impossible, Point, Scenario
from rig.stack import PROJECT, Stack

PATH = "/agents"
# As few as keep two CPUs busy: an answer over 50,000 agents has 7 MB, and each that is under way stands in PostgreSQL's result, in the body
# and in nginx.
CONNECTIONS = 16
ROW_BYTES = 600
# In the first fifty, /agents reads what it reads in the seed.
FILL = """
INSERT INTO agentfeatures (numgroup, firstname, lastname, number, passwd, context, language, autologoff, "group", description,
                           preprocess_subroutine)
SELECT 1, 'Agent', 'Number ' || nth, (300 + nth - 1)::text, '', 'default', '', 0, '', '', ''
  FROM generate_series(1, {rows}) AS agent (nth) ORDER BY nth
"""


class LadderRows(Scenario):
    name = "ladder-rows"
    title = "Closed loop with more and more agents in the table"
    question = "How do throughput and memory follow the size of the answer?"
    by_step = True
    profiles = {
        "smoke": {"rounds": 1, "seconds": 1, "steps": (500,), "systems": SERVICES[:1], "peers": False},
        "quick": {"rounds": 1, "seconds": 4, "steps": (50, 500, 5_000, 50_000), "systems": SERVICES, "peers": False},
        "full": {"rounds": 3, "seconds": 15, "steps": (50, 500, 5_000, 50_000), "systems": SERVICES, "peers": True},
    }
    in_profiles = ("full",)

    def points(self):
        best = [name for name in self.settings.peers if name.endswith(" best")] if self.values["peers"] else []
        return [Point.at(system, PATH, rows=step) for system in (*self.values["systems"], *best) for step in self.values["steps"]]

    def seconds_of(self, point):
        return self.seconds + 2

    @contextmanager
    def open(self, lab):
        """A cluster of its own, so that the others' tables stay as they are."""
        self.database, self.wanted = Stack(lab.rig, "rows", DATABASE_WORKERS, "--share off"), {}
        for part in ("nginx", "pool"):
            end_tree(self.database.pid(part))
        # Its work would fall into the measurements.
        self.database.sql("ALTER TABLE agentfeatures SET (autovacuum_enabled = off)")
        try:
            yield
        finally:
            lab.clear()
            self.database.stop()

    def measure(self, lab, point):
        rows = dict(point.step)["rows"]
        if reason := too_little_memory(rows, available_bytes()):
            raise Impossible(reason)
        lab.clear()
        # A peer is let in by its answers over the fifty agents of the seed.
        self._fill((PROJECT / "sql/seed.sql").read_text(encoding="utf-8"))
        target = lab.system(point.system, database=self.database)
        self._fill(FILL.format(rows=rows))
        if rows not in self.wanted:
            self.wanted[rows] = self._answer()
        return lab.wrk(target, point, connections=CONNECTIONS, seconds=self.seconds, body=self.wanted[rows])

    def _fill(self, insert):
        self.database.sql(f"TRUNCATE agentfeatures, agent_login_status RESTART IDENTITY; {insert}")
        self.database.sql("VACUUM ANALYZE agentfeatures")

    def _answer(self):
        """What /agents has to answer, as PostgreSQL itself writes it as JSON."""
        query = (PROJECT / "sql/queries/agents.sql").read_text(encoding="utf-8").strip().rstrip(";")
        return self.database.sql(f"SELECT jsonb_agg(agent) FROM (\n{query}\n) AS agent")[0][0].encode()


def too_little_memory(rows, available):
    """The reason why a step is left out, or None."""
    needed = CONNECTIONS * rows * ROW_BYTES
    if needed <= available:
        return None
    return (f"too little memory for a ladder step: {CONNECTIONS} answers over {rows:,} agents need about {needed / 1e6:,.0f} MB, and "
            f"{available / 1e6:,.0f} MB are available: end other programs, or take a larger machine")


def available_bytes():
    with open("/proc/meminfo", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("MemAvailable:"))
