"""Stacks through deploy/local, each in a folder of its own, on free ports."""
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from . import process
from .process import KitError, await_, await_steady

PROJECT = Path(__file__).resolve().parents[3]
GOLDEN = PROJECT / "tests/golden"
PG_BIN = Path("/usr/lib/postgresql/15/bin")
PATHS = {"/index": "index.json", "/agents": "agents.json", "/agents_with_orm": "agents_with_orm.json", "/agent_logins": None}


def golden(path):
    """The body of a path with the seed's data."""
    return (GOLDEN / PATHS[path]).read_bytes() if PATHS[path] else b"[]"


def free_port():
    """Below the range that the kernel gives to clients, or a client of the load might take it."""
    while True:
        port = random.randrange(20000, 32000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
            return port
        except OSError:
            pass


def clean_environment():
    return {key: value for key, value in os.environ.items()
            if not key.startswith(("PG", "AGENTS_FCGI_", "MAKE", "MFLAGS")) and key not in ("DATABASE_URL", "LISTEN", "RUN_DIR")}


def run(words, env, deadline=300, cwd=PROJECT):
    """(exit status, output) of a program in a session of its own, so that Ctrl-C reaches it through here and it can undo itself."""
    with subprocess.Popen(words, cwd=cwd, env=env, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace") as child:
        try:
            output = child.communicate(timeout=deadline)[0]
        except BaseException:
            child.terminate()
            child.communicate()
            raise
        return child.returncode, output


class Stack:
    """One stack. Without `database` it has a PostgreSQL of its own; else it reads that database of somebody's (a URL or a conninfo)."""

    def __init__(self, home, name, workers=4, options="", database="", extra=None, start=True, before=()):
        self.home, self.name, self.worker_count = home, name, workers
        self.run_dir = home.directory / name
        self.port, self.admin = free_port(), free_port()
        self.env = {**clean_environment(), "PORT": str(self.port), "ADMIN_PORT": str(self.admin), "RUN_DIR": str(self.run_dir),
                    "WORKERS": str(workers), "OPTIONS": options, "LISTEN": "127.0.0.1", "ACCESS_LOG": "off", "DB_ROLE": "",
                    "DB_NAME": "", "WORKER": home.worker, "DATABASE_URL": database, **(extra or {})}
        self.stopped = False
        home.latest = self
        home.at_end(self.stop)
        if start:
            status, output = run([*before, "deploy/local/start"], self.env)
            if status != 0:
                raise KitError(f"the stack {name} does not start:\n{output.rstrip()}")

    def stop(self):
        if self.stopped:
            return
        self.stopped = True
        # Without the database's address: what is not this stack's own is not its to stop.
        status, output = run(["deploy/local/stop"], {**self.env, "DATABASE_URL": ""})
        if status != 0:
            raise KitError(f"the stack {self.name} does not stop:\n{output.rstrip()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # --- where it is ---

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def socket(self):
        return str(self.run_dir / "pool.sock")

    def conninfo(self, database="benchmarks", user="asterisk"):
        return f"host={self.run_dir}/pg user={user} dbname={database}"

    def pid(self, part):
        """Of nginx, pool (multiwatch) or postgres."""
        return int((self.run_dir / "state" / part).read_text(encoding="ascii").split()[0])

    def workers(self):
        return process.children(self.pid("pool"))

    def log(self, name):
        """worker, nginx-error or postgres."""
        try:
            return (self.run_dir / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    # --- how it is ---

    def is_whole(self):
        pids = self.workers()
        return len(pids) == self.worker_count and all(process.state(pid) in ("S", "R", "D") for pid in pids)

    def seconds_until_whole(self, since, without=()):
        """From `since` until all workers are there again, none of them one of `without`."""
        await_(lambda: self.is_whole() and not set(self.workers()) & set(without), f"all workers of {self.name} are there", every=0.005)
        return time.monotonic() - since

    def get(self, path, port=None, timeout=30):
        from .client import get
        return get(port or self.port, path, timeout)

    def is_ready(self):
        """Every path answers 200 and, on the seed's data, with the right body; the admin port says ready."""
        try:
            return (all(self.get(path).status == 200 for path in PATHS) and self.get("/health/ready", self.admin).status == 200)
        except (OSError, KitError):
            return False

    def await_health(self):
        await_(lambda: self.is_whole() and self.is_ready(), f"the stack {self.name} is healthy")

    def answered(self):
        """How many requests of each path its workers have answered with 200, those that have ended included."""
        counts = dict.fromkeys(PATHS, 0)
        for path, count in re.findall(r'^agents_fcgi_requests_total{path="([^"]*)",code="200"} (\d+)$',
                                      self.get("/metrics", self.admin).body.decode(), re.MULTILINE):
            counts[path] = int(count)
        return counts

    def metric(self, name):
        """The sum of a metric's values over its labels."""
        text = self.get("/metrics", self.admin).body.decode()
        return sum(float(value) for value in re.findall(rf"^agents_fcgi_{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))

    def reload_nginx(self):
        master = self.pid("nginx")
        before = set(process.children(master))
        process.send(master, signal.SIGHUP)
        await_(lambda: set(process.children(master)) - before, "nginx has new workers")

    def descriptors_at_rest(self, pids=()):
        """Of all workers, or of these: when there is no load, and nginx's kept connections have been closed by a reload."""
        self.reload_nginx()
        await_(lambda: len(process.children(self.pid("nginx"))) <= os.cpu_count(), "nginx's old workers end")
        return await_steady(lambda: sum(process.descriptors(pid) for pid in pids or self.workers()), "the descriptors are those at rest")

    # --- its PostgreSQL ---

    def sql(self, text, database="benchmarks"):
        """Rows of tuples, as superuser."""
        status, output = run([str(PG_BIN / "psql"), "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1",
                              "-d", self.conninfo(database, "postgres"), "-c", text], {"PATH": "/usr/bin:/bin"})
        if status != 0:
            raise KitError(f"psql: {output.strip()}")
        return [tuple(line.split("\t")) for line in output.splitlines()]

    def make_database(self, name, sql=""):
        """Schema and seed in a database of its own, owned by the service's role, and more SQL as superuser; its conninfo."""
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", "postgres")
        self.sql(f"CREATE DATABASE {name} OWNER asterisk", "postgres")
        status, output = run([str(PROJECT / "build/db-load"), "sql/schema.sql", "sql/seed.sql"],
                             {**self.env, "DATABASE_URL": self.conninfo(name)})
        if status != 0:
            raise KitError(f"the database {name} cannot be made:\n{output.rstrip()}")
        if sql:
            self.sql(sql, name)
        return self.conninfo(name)

    def end_postgres(self, number=signal.SIGINT):
        """SIGINT is a fast shutdown, SIGQUIT an immediate one."""
        pid = self.pid("postgres")
        process.send(pid, number)
        await_(lambda: not process.alive(pid), "PostgreSQL ends", every=0.005)

    def start_postgres(self):
        status, output = run(["deploy/local/postgres", "start"], self.env)
        if status != 0:
            raise KitError(f"PostgreSQL does not start:\n{output.rstrip()}")

    def session(self, database="benchmarks", user="postgres"):
        return Session(self.conninfo(database, user))


def pool_memory_kb(stack):
    return sum(process.memory_kb(pid) for pid in stack.workers())


class Peak(threading.Thread):
    """Looks at the memory of a pool's workers again and again; `kb` is the most that they have taken together."""

    def __init__(self, stack):
        super().__init__(daemon=True)
        self.stack, self.kb, self.ended = stack, 0, threading.Event()

    def run(self):
        while not self.ended.wait(0.03):
            self.kb = max(self.kb, pool_memory_kb(self.stack))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()


class Session:
    """One connection to PostgreSQL, through psql's standard input."""

    def __init__(self, conninfo):
        self.child = subprocess.Popen([str(PG_BIN / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", conninfo],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                      env={"PATH": "/usr/bin:/bin"})

    def run(self, text):
        """Returns when the server has done it; its rows, one string each."""
        try:
            self.child.stdin.write(f"{text};\n\\echo -- done\n")
            self.child.stdin.flush()
        except OSError as error:
            raise KitError(f"psql has ended before: {text}") from error
        lines = []
        for line in self.child.stdout:
            if line == "-- done\n":
                return lines
            lines.append(line.rstrip("\n"))
        raise KitError(f"psql: {text}: {' '.join(lines)}")

    def close(self):
        self.child.stdin.close()
        self.child.stdout.close()
        self.child.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
