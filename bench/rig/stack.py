"""Starts and ends what is measured: stacks of the project through deploy/local, and null responders behind the same nginx."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from . import fastcgi, process

PROJECT = Path(__file__).resolve().parents[2]
WORKER = PROJECT / "build/agents-fcgi"
NULL_RESPONDER = PROJECT / "build/bench/null_responder"
DEADLINE_S = 60
ROOT = os.geteuid() == 0


class RigError(Exception):
    """Something that its reader can mend."""


def need(*programs):
    for name in programs:
        if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            raise RigError(f"{name} is not installed: make bench installs what it needs")
    for file in (WORKER, PROJECT / "build/db-load", NULL_RESPONDER):
        if not file.exists():
            raise RigError(f"{file.relative_to(PROJECT)} is not built: make build build/bench/null_responder")


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def run_quietly(words, env, failure, deadline=300):
    """Runs a script of the project in a session of its own, so that Ctrl-C reaches it through here: it then gets time to undo itself."""
    child = subprocess.Popen(words, cwd=PROJECT, env=env, start_new_session=True, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        output = child.communicate(timeout=deadline)[0]
    except BaseException:
        child.terminate()
        child.communicate()
        raise
    if child.returncode != 0:
        raise RigError(f"{failure}:\n{output.rstrip()}")
    return output


def wait_until(condition, what):
    end = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > end:
            raise RigError(f"{what} for {DEADLINE_S} s")
        time.sleep(0.05)


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Stack:
    """One stack of the project. With `database` (another stack) it reads that one's cluster."""

    def __init__(self, rig, name, workers, options, database=None):
        self.run_dir = rig.directory / name
        self.port, admin = free_ports(2)
        self.cluster = database or self
        self.env = {key: value for key, value in os.environ.items()
                    if not key.startswith(("PG", "AGENTS_FCGI_", "MAKE", "MFLAGS"))}
        self.env.update(PORT=str(self.port), ADMIN_PORT=str(admin), RUN_DIR=str(self.run_dir), WORKERS=str(workers),
                        OPTIONS=options, LISTEN="127.0.0.1", ACCESS_LOG="off", SANITIZE="", DB_ROLE="", DB_NAME="",
                        WORKER=str(WORKER.relative_to(PROJECT)), DATABASE_URL=database.conninfo() if database else "")
        rig.at_end(self.stop)
        run_quietly(["deploy/local/start"], self.env, f"the stack {name} does not start")

    def conninfo(self, user="asterisk"):
        return f"host={self.run_dir}/pg user={user} dbname=benchmarks"

    def pid(self, name):
        """Of nginx, pool or postgres: the process that the start has recorded."""
        owner = self.cluster if name == "postgres" else self
        return int((owner.run_dir / "state" / name).read_text(encoding="ascii").split()[0])

    def workers(self):
        return process.leaves(self.pid("pool"))

    def nginx_config(self):
        return self.run_dir / "nginx/nginx.conf"

    def stop(self):
        # Without the database's address: what is not this stack's own is not its to stop.
        run_quietly(["deploy/local/stop"], {**self.env, "DATABASE_URL": ""}, f"the stack in {self.run_dir} does not stop")

    def sql(self, text):
        """Rows of tuples, as superuser."""
        done = subprocess.run(["/usr/lib/postgresql/15/bin/psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1",
                               "-d", self.cluster.conninfo("postgres"), "-c", text],
                              capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}, check=False)
        if done.returncode != 0:
            raise RigError(f"psql: {done.stderr.strip()}")
        return [tuple(line.split("\t")) for line in done.stdout.splitlines()]

    def set_statement_statistics(self, track):
        """pg_stat_statements costs CPU, so it only counts in runs of its own."""
        if not self.sql("SELECT 1 FROM pg_extension WHERE extname = 'pg_stat_statements'"):
            raise RigError("the cluster has no pg_stat_statements: postgresql-15 of Debian 12 brings it")
        self.sql(f"ALTER SYSTEM SET pg_stat_statements.track = '{track}'")
        self.sql("SELECT pg_reload_conf()")
        # Idle workers read the new value before their next query.
        wait_until(lambda: self.sql("SHOW pg_stat_statements.track") == [(track,)], "PostgreSQL does not reload")


class NullStack:
    """Canned answers behind nginx, rendered from the same templates with the same time-outs."""

    def __init__(self, rig, name, workers, like, path):
        self.run_dir = rig.directory / name
        self.port, self.admin = free_ports(2)
        self.children = {}
        self.run_dir.mkdir(mode=0o755)
        for part in ("body", "fastcgi", "proxy", "scgi", "uwsgi"):
            (self.run_dir / "tmp" / part).mkdir(parents=True)
        (self.run_dir / "answer").write_bytes(fastcgi.record_answer(str(like.run_dir / "pool.sock"), path))
        shutil.copy(NULL_RESPONDER, self.run_dir / "null_responder")
        rig.at_end(self.stop)
        self._start_pool(workers)
        self._start_nginx()

    def _spawn(self, name, words):
        with open(self.run_dir / f"{name}.log", "ab") as log:
            self.children[name] = subprocess.Popen(words, cwd=self.run_dir, start_new_session=True, stdin=subprocess.DEVNULL,
                                                   stdout=log, stderr=log, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})

    def _wait_for(self, name, condition):
        child = self.children[name]
        wait_until(lambda: condition() or child.poll() is not None, f"{name} of {self.run_dir.name} does not start")
        if child.poll() is not None:
            raise RigError(f"{name} of {self.run_dir.name} has ended:\n" + (self.run_dir / f"{name}.log").read_text(encoding="utf-8"))

    def _start_pool(self, workers):
        spawn = ["/usr/bin/spawn-fcgi", "-n", "-s", str(self.run_dir / "pool.sock"), "-b", "4096", "-M", "0660"]
        if ROOT:
            spawn += ["-u", "nobody", "-g", "nogroup", "-U", "nobody", "-G", "www-data"]
        self._spawn("pool", spawn + ["--", "/usr/bin/multiwatch", "-f", str(workers), "--",
                                     str(self.run_dir / "null_responder"), str(self.run_dir / "answer")])
        self._wait_for("pool", (self.run_dir / "pool.sock").exists)

    def _start_nginx(self):
        env = {"PATH": "/usr/bin:/bin", "LISTEN": "127.0.0.1", "PORT": str(self.port), "ADMIN_PORT": str(self.admin),
               "SOCKET": str(self.run_dir / "pool.sock"), "ACCESS_LOG": "off", "RUN_DIR": str(self.run_dir),
               "FILES": str(process.raise_file_limit()), "USER_LINE": "user www-data;" if ROOT else ""}
        config = self.run_dir / "nginx"
        run_quietly(["nginx/render", str(config), "main"], env, "nginx/render fails")
        shutil.copy(PROJECT / "tests/golden/agents.json", self.run_dir / "static.json")
        (self.run_dir / "static.json").chmod(0o644)
        with open(config / "agents-fcgi/server.conf", "a", encoding="utf-8") as f:
            f.write("\nlocation = /return200 {\n  default_type application/json;\n"
                    "  return 200 '{\"hello\": \"world\"}';\n}\n"
                    "location = /static {\n  default_type application/json;\n"
                    f"  alias {self.run_dir}/static.json;\n  sendfile on;\n  open_file_cache max=10;\n}}\n")
        self._spawn("nginx", ["/usr/sbin/nginx", "-p", str(self.run_dir), "-e", str(self.run_dir / "nginx.log"),
                              "-c", str(self.nginx_config())])
        self._wait_for("nginx", lambda: accepts(self.port))

    def nginx_config(self):
        return self.run_dir / "nginx/nginx.conf"

    def pid(self, name):
        return self.children[name].pid

    def stop(self):
        for name, child in reversed(self.children.items()):
            members = process.tree(child.pid)
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            for pid in filter(process.alive, members):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass


class Rig:
    """A temporary folder and what runs in it; leaving the block ends and removes all of it, whatever happened."""

    def __enter__(self):
        self.ends = []
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _leave)
        process.raise_file_limit()
        if os.getloadavg()[0] > 0.5 * os.cpu_count():
            print(f"bench: the load average is {os.getloadavg()[0]:.2f}: figures want a machine that does nothing else", flush=True)
        self.directory = Path(tempfile.mkdtemp(prefix="agents-fcgi-bench."))
        self.directory.chmod(0o711)
        return self

    def at_end(self, action):
        self.ends.append(action)

    def __exit__(self, *_):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for action in reversed(self.ends):
            try:
                action()
            except (RigError, OSError, subprocess.SubprocessError) as error:
                print(f"bench: {error}", flush=True)
        shutil.rmtree(self.directory, ignore_errors=True)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)


def _leave(number, _):
    raise SystemExit(128 + number)
