"""A database that is further away."""
import os
import pwd
import subprocess
from contextlib import contextmanager

from rig import process
from rig.scenario import SERVICES, Point, Scenario
from rig.stack import PROJECT, ROOT, RigError, wait_until

PATH = "/agents"
PROXY = PROJECT / "build/bench/delay_proxy"


class SlowDb(Scenario):
    name = "slow-db"
    title = "A database whose answers take 5 ms longer, by a delaying proxy before it"
    question = "What does a database at the other end of a network cost a few clients, and what many, whose queries can be in one pipeline?"
    by_step = True
    # Without a delay it goes through the proxy as well, so that the two differ in the delay alone. With few clients each waits for it; with
    # many, what a system can send before the last answer has come decides.
    profiles = {
        "smoke": {"rounds": 1, "seconds": 1, "steps": (5,), "connections": (16,), "systems": SERVICES[:1], "peers": False},
        "quick": {"rounds": 2, "seconds": 3, "steps": (0, 5), "connections": (16, 400), "systems": SERVICES, "peers": False},
        "full": {"rounds": 5, "seconds": 10, "steps": (0, 5), "connections": (16, 400), "systems": SERVICES, "peers": True},
    }
    in_profiles = ("full",)

    def points(self):
        best = [name for name in self.settings.peers if name.endswith(" best")] if self.values["peers"] else []
        return [Point.at(system, PATH, connections=connections, delay_ms=step) for system in (*self.values["systems"], *best)
                for connections in self.values["connections"] for step in self.values["steps"]]

    @contextmanager
    def open(self, lab):
        self.databases = {step: DelayedDatabase(lab, step) for step in self.values["steps"]}
        try:
            yield
        finally:
            lab.clear()
            for database in self.databases.values():
                database.stop()

    def measure(self, lab, point):
        step = dict(point.step)
        database = self.databases[step["delay_ms"]]
        target = lab.system(point.system, database=database)
        # Its CPU is the network's price and no part of the system, but it is taken from the same machine.
        target.parts["proxy"] = database.proxy.pid
        return lab.wrk(target, point, connections=step["connections"], seconds=self.seconds, threads=12)


class DelayedDatabase:
    """The lab's cluster seen through a proxy, in the place of a stack that has a cluster."""

    def __init__(self, lab, delay_ms):
        self.rig, self.behind, self.cluster = lab.rig, lab.database, self
        self.run_dir = lab.rig.directory / f"delay-{delay_ms:g}"
        folder = self.run_dir / "pg"
        folder.mkdir(parents=True)
        self.run_dir.chmod(0o711)
        if ROOT:
            # As the cluster's own: for the user of pools and peers, and for nobody else.
            os.chown(folder, 0, pwd.getpwnam("nobody").pw_gid)
        folder.chmod(0o750)
        (self.run_dir / "state").symlink_to(self.behind.run_dir / "state")
        at, to = (f"{where}/.s.PGSQL.5432" for where in (folder, f"{self.behind.run_dir}/pg"))
        self.clean_up = lab.rig.at_end(self.stop)
        with open(self.run_dir / "proxy.log", "ab") as log:
            self.proxy = subprocess.Popen(process.tied([PROXY, "-d", f"{delay_ms:g}", at, to]), cwd=self.run_dir, start_new_session=True,
                                          stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(lambda: self._log().startswith("listening") or self.proxy.poll() is not None, "the delay proxy does not start")
        if self.proxy.poll() is not None:
            raise RigError(f"the delay proxy has ended: {self._log().strip()}")

    def _log(self):
        return (self.run_dir / "proxy.log").read_text(encoding="utf-8")

    def conninfo(self, user="asterisk"):
        return f"host={self.run_dir}/pg user={user} dbname=benchmarks"

    def pid(self, name):
        return self.behind.pid(name)

    def sql(self, text):
        return self.behind.sql(text)

    def stop(self):
        proxy = getattr(self, "proxy", None)
        if proxy and proxy.poll() is None:
            proxy.terminate()
            proxy.wait(10)
        self.rig.undone(self.clean_up)
