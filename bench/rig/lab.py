"""Brings up what a scenario measures, and measures it: load, CPU of each component, memory, and whether the answers were right."""
import json
import os
import signal
import time
from contextlib import contextmanager

from . import environment, peers, process, queries, tools
from .scenario import PATHS, SERVICES, SHARE_OFF, SHARE_ON, Impossible, Target
from .stack import PROJECT, NullStack, RigError, Stack, wait_until

GOLDEN = PROJECT / "tests/golden"
# Enough for whatever is up at a time, and PostgreSQL's own default.
DATABASE_WORKERS = 40
# Of the load that warms a system up before an open loop: so many that each of its processes has work, however few the loop itself has.
WARM_CONNECTIONS = 64
# CPU time is counted in ticks of 10 ms: below 50 of them a share of it says nothing.
LEAST_CPU_S = 0.5
MODES = {SHARE_OFF: "off", SHARE_ON: "on"}
ABOUT = {
    SHARE_OFF: "This service with a database query of its own for each request: the headline. nginx with kept connections to a pool of "
               "{workers} workers behind one Unix socket, one PostgreSQL connection in each worker.",
    SHARE_ON: "The same service as it is deployed by default: requests that wait for the same query share one execution, but a request joins "
              "only a query that has not been sent yet, so no answer is older than its request.",
    "nginx return 200": "A limit: the same nginx with the same settings, answering {{\"hello\": \"world\"}} out of its configuration.",
    "nginx static file": "A limit: the same nginx, sending a file of 7,100 bytes (the answer of /agents) with sendfile and open_file_cache.",
    "null responder": "A limit: a few lines of C behind the same nginx, {workers} processes under spawn-fcgi and multiwatch, which answer each "
                      "readable connection with the recorded bytes of the service's answer and parse nothing: what the FastCGI hop itself can do.",
    "pgbench": "A limit: pgbench -M prepared with the very SQL that the service sends, 8 clients on the same PostgreSQL.",
}
KINDS = {SHARE_OFF: "service", SHARE_ON: "service", "nginx return 200": "limit", "nginx static file": "limit", "null responder": "limit",
         "pgbench": "limit"}


class Lab:
    """One database for all; beside it one system at a time, so that none takes memory or connections from another."""

    def __init__(self, rig, journal, settings):
        self.rig, self.journal, self.settings = rig, journal, settings
        self.versions, self.capacity, self.link_description = {}, {}, None
        self.environment = environment.machine()
        self._database, self._link, self._up, self._serial = None, None, None, 0
        self._warm = set()

    # --- what is up -----------------------------------------------------------------------------------------------------------

    @property
    def database(self):
        """A cluster with the fifty agents. The stack that made it has lost its own pool and nginx."""
        if self._database is None:
            stack = Stack(self.rig, "database", DATABASE_WORKERS, "--share off")
            for part in ("nginx", "pool"):
                end_tree(stack.pid(part))
            self._database = stack
            self.environment["pg_settings"] = environment.pg_settings(stack)
        return self._database

    @property
    def link(self):
        """The 1 Gb/s link, made and verified once. RigError without root, or when it is not what it says."""
        if self._link is None:
            from .network import Link
            link = Link(self.rig)
            link.verify()
            self.link_description = link.describe()
            self._link = link
        return self._link

    def system(self, name, *, linked=False, workers=None, database=None, fresh=False):
        """The target called `name`, which comes up now if it is not the one that is; whatever else was up is ended."""
        key = (name, linked, workers, getattr(database, "run_dir", None))
        if self._up and self._up[0] == key and not fresh:
            return self._up[1]
        self.clear()
        link = self.link if linked else None
        if name in SERVICES:
            target, stop = self._service(name, link, workers or self.settings.workers, database or self.database)
        else:
            target, stop = self._peer(name, link, database or self.database)
        self._up = (key, target, stop)
        self._warm.clear()
        return target

    def clear(self):
        """Ends what system() has brought up."""
        if self._up:
            stop, self._up = self._up[2], None
            stop()

    def _service(self, name, link, workers, database):
        self._serial += 1
        stack = Stack(self.rig, f"service{self._serial}", workers, f"--share {MODES[name]}", database=database, network=link)
        kept = f"nginx-{name.replace(' ', '-').replace('=', '-')}{'-linked' if link else ''}.conf"
        self.journal.keep_text(kept, environment.nginx_config(stack, link.server if link else ()))
        host = link.server_address if link else "127.0.0.1"
        return Target(name, f"http://{host}:{stack.port}", parts_of(stack), link.client if link else ()), stack.stop

    def _peer(self, name, link, database):
        peer_name, _, form = name.rpartition(" ")
        options = {"listen": link.server_address, "launcher": link.server, "viewer": link.client,
                   "port": link.free_ports(1)[0]} if link else {}
        peer = peers.start(self.rig, peer_name, form, database, **options)
        self.versions[name] = peer.versions()
        return Target(name, peer.base_url, peer.components(), link.client if link else (), golden=False, peer=peer), peer.stop

    def about(self, name):
        if name in ABOUT:
            return ABOUT[name].format(workers=self.settings.workers)
        return peers.about(*name.rsplit(" ", 1))

    # --- limits ---------------------------------------------------------------------------------------------------------------

    def nulls(self, paths):
        """{path: target}: nginx with a pool of null responders that repeat the service's answer to that path; they stay up till the end."""
        like = Stack(self.rig, "model", 4, "--share off", database=self.database)
        found = {}
        for path in paths:
            stack = NullStack(self.rig, f"null-{path[1:]}", self.settings.workers, like, path)
            found[path] = Target("null responder", f"http://127.0.0.1:{stack.port}", {"nginx": stack.pid("nginx"), "app": stack.pid("pool")})
        like.stop()
        return found

    @staticmethod
    def nginx_alone(null, name, path, url_path):
        """The nginx of a null responder's target, answering without its pool."""
        return Target(name, null.base_url, {"nginx": null.parts["nginx"]}, elsewhere={path: url_path})

    # --- measuring ------------------------------------------------------------------------------------------------------------

    def wrk(self, target, point, *, connections, seconds, threads=2, body=None, **options):
        """A record of a closed loop on the target. `body`: see body_file()."""
        self.check(target, point.path, body)
        url = target.url(point.path)
        self._warm_up(target, connections)
        return self._measured(target, point, body, lambda before: tools.wrk(
            url, connections=connections, seconds=seconds, threads=threads, before=before, **options))

    def _warm_up(self, target, connections):
        """A second of all paths at once, when a system has just come up."""
        if target.base_url not in self._warm:
            mixed = () if target.name in KINDS and target.name not in SERVICES else (PROJECT / "bench/rig/mixed.lua", *PATHS)
            path = next(iter(target.elsewhere), "/index")
            tools.wrk(target.url(path), connections=connections, seconds=1, threads=2, before=target.client, script=mixed)
            self._warm.add(target.base_url)

    def pace(self, target, point, *, rate, connections, seconds, warmup_s=1, body=None, **options):
        """A record of an open loop on the target; each answer is compared."""
        expect = self.body_file(target, point.path, body)
        if body is None:
            self._warm_up(target, WARM_CONNECTIONS)
        return self._measured(target, point, body, lambda before: tools.pace(
            target.url(point.path), rate=rate, connections=connections, seconds=seconds, warmup_s=warmup_s, expect=expect,
            before=before, **options))

    def pgbench(self, point, sql, *, clients, seconds):
        """A record of the same SQL without the service."""
        script = self.rig.directory / f"pgbench{point.path.replace('/', '-')}.sql"
        script.write_text(sql.rstrip().rstrip(";") + ";\n", encoding="utf-8")
        target = Target("pgbench", "", {"postgres": self.database.pid("postgres")})
        return self._measured(target, point, None, lambda before: tools.pgbench(
            script, self.database.conninfo(), clients=clients, seconds=seconds, before=before), check=False)

    def _measured(self, target, point, body, run, check=True):
        """Runs the load with everything accounted. (record, outputs); a wrong answer behind the run is in the record as void."""
        with placed(target.parts, point.placement) as before:
            counted = {part: process.cpu_seconds(pid) for part, pid in target.parts.items()}
            own, stolen, start = process.children_cpu_seconds(), process.machine_cpu(), time.time()
            clock = time.monotonic()
            record, outputs = run((*target.client, *before))
            record["started"], record["seconds"] = round(start, 3), round(time.monotonic() - clock, 3)
            used = {"client": process.children_cpu_seconds() - own}
            used |= {part: process.cpu_seconds(pid) - counted[part] for part, pid in target.parts.items()}
            after = process.machine_cpu()
        known = record["requests"] and sum(used.values()) >= LEAST_CPU_S
        record["cpu_us"] = {part: round(value * 1e6 / record["requests"], 2) for part, value in used.items()} if known else {}
        record["pss_kb"] = memory_of(target.parts)
        record["steal"] = round((after[0] - stolen[0]) / max(after[1] - stolen[1], 1), 5)
        record["queries_per_request"], record["void"] = None, None
        if check:
            try:
                self.check(target, point.path, body)
            except RigError as error:
                record["void"] = f"behind the run: {error}"
        return record, outputs

    def count_queries(self, target, path, *, threads, each):
        """A record with the statements that PostgreSQL has counted for each request, over requests that came several at a time."""
        self.check(target, path)
        start, clock = time.time(), time.monotonic()

        def ask(times):
            try:
                queries.ask(target.base_url, path, threads, times, target.client)
            except RigError as error:
                raise self._fault(target, str(error)) from error
        # Connections that are made when the first requests come must not count, nor what they begin with.
        calls, statements = queries.count(self.database, lambda: ask(2), lambda: ask(each))
        requests = threads * each
        return {"tool": "count", "command": ["GET", path], "requests": requests, "rate": None, "rate_asked": None,
                "errors": dict.fromkeys(tools.ERRORS, 0), "latency_us": None, "service_us": None, "send_lag_us": None, "cpu_us": {},
                "pss_kb": None, "started": round(start, 3), "seconds": round(time.monotonic() - clock, 3), "steal": 0.0,
                "queries_per_request": calls / requests, "void": None}, \
            {"txt": "".join(f"{calls}\t{query}\n" for calls, query in statements)}

    # --- answers --------------------------------------------------------------------------------------------------------------

    def fetch(self, target, path):
        """(status, body) as a client of the target sees it."""
        answer = peers.fetch(target.base_url, target.elsewhere.get(path, path), target.client)
        if isinstance(answer, str):
            raise self._fault(target, f"{path} {answer}")
        return answer

    @staticmethod
    def _fault(target, text):
        return peers.PeerError(target.name, text) if target.peer else RigError(f"{target.name}: {text}")

    def check(self, target, path, body=None):
        """The golden bytes (of `body`, if the golden file is not what must come), or for a peer the same JSON values."""
        wanted = body if body is not None else (GOLDEN / f"{path[1:]}.json").read_bytes()
        status, got = self.fetch(target, path)
        if status != 200:
            raise self._fault(target, f"{path} answers {status}")
        if target.golden and body is None:
            if got != wanted:
                raise self._fault(target, f"{path} answers {len(got)} bytes that are not those of tests/golden{path}.json")
        elif not same_values(got, wanted):
            raise self._fault(target, f"{path} answers other values than it must")
        return got

    def body_file(self, target, path, body=None):
        """A file with the bytes that this very target answers with, once they are known to hold the right values."""
        file = self.rig.directory / f"expect{path.replace('/', '-')}.json"
        file.write_bytes(self.check(target, path, body))
        return file


def same_values(one, other):
    try:
        return json.dumps(json.loads(one), sort_keys=True) == json.dumps(json.loads(other), sort_keys=True)
    except ValueError:
        return False


def parts_of(stack):
    return {"nginx": stack.pid("nginx"), "app": stack.pid("pool"), "postgres": stack.pid("postgres")}


def memory_of(parts):
    """PSS of each component in kB; None where the kernel does not show it to this user."""
    try:
        return {part: sum(pss(pid) for pid in process.tree(root)) for part, root in parts.items()}
    except PermissionError:
        return None


def pss(pid):
    """In kB; 0 of a process that has just ended."""
    try:
        return process.memory_kb(pid)["Pss"]
    except PermissionError:
        raise
    except (OSError, StopIteration, KeyError, ValueError):
        return 0


@contextmanager
def placed(parts, placement):
    """pinned: the generator on the first CPU, everything else on the others. Gives the words that place the generator."""
    cpus = sorted(os.sched_getaffinity(0))
    if placement == "unpinned":
        yield ()
        return
    if len(cpus) < 2:
        raise Impossible("the pinned placement needs two CPUs")
    try:
        set_affinity(parts, cpus[1:])
        yield ("taskset", "-c", str(cpus[0]))
    finally:
        set_affinity(parts, cpus)


def set_affinity(parts, cpus):
    for root in parts.values():
        for pid in process.tree(root):
            try:
                for thread in os.listdir(f"/proc/{pid}/task"):
                    os.sched_setaffinity(int(thread), cpus)
            except (FileNotFoundError, ProcessLookupError):
                pass


def end_tree(root):
    """Asks a leader of the stack to end, and waits for all that it had."""
    members = process.tree(root)
    os.kill(root, signal.SIGTERM)
    wait_until(lambda: not any(process.alive(pid) for pid in members), f"process {root} of the stack does not end")
