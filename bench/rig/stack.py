"""Starts and ends what is measured: stacks of the project through deploy/local, and null responders behind the same nginx."""
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from . import fastcgi, process

PROJECT = Path(__file__).resolve().parents[2]
WORKER = PROJECT / "build/agents-fcgi"
NULL_RESPONDER = PROJECT / "build/bench/null_responder"
DEADLINE_S = 60
# Stopping a stack whose parts all wait for their last deadline takes about as long.
UNDO_S = 150
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


def run_quietly(words, env, failure, deadline=300, pass_fds=()):
    """Runs a script of the project in a session of its own, so that Ctrl-C reaches it through here: it then gets time to undo itself. So it
    does when this program is killed."""
    child = subprocess.Popen(process.tied(words), cwd=PROJECT, env=env, start_new_session=True, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, pass_fds=pass_fds)
    try:
        output = child.communicate(timeout=deadline)[0]
    except BaseException:
        child.terminate()
        try:
            child.communicate(timeout=UNDO_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
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
    """One stack of the project. With `database` (another stack) it reads that one's cluster, with `network` (a network.Link) it runs at the
    server's end of it. The cluster's Unix socket is a file, so both work together."""

    def __init__(self, rig, name, workers, options, database=None, network=None):
        self.rig, self.run_dir = rig, rig.directory / name
        self.port, admin = network.free_ports(2) if network else free_ports(2)
        self.address = network.server_address if network else "127.0.0.1"
        self.base_url = f"http://{self.address}:{self.port}"
        self.cluster = database or self
        self.env = {key: value for key, value in os.environ.items()
                    if not key.startswith(("PG", "AGENTS_FCGI_", "MAKE", "MFLAGS"))}
        self.env.update(PORT=str(self.port), ADMIN_PORT=str(admin), RUN_DIR=str(self.run_dir), WORKERS=str(workers),
                        OPTIONS=options, LISTEN=self.address, ACCESS_LOG="off", SANITIZE="", DB_ROLE="", DB_NAME="",
                        WORKER=str(WORKER.relative_to(PROJECT)), DATABASE_URL=database.conninfo() if database else "")
        # Without the database's address: what is not this stack's own is not its to stop.
        self.stop_env = {**self.env, "DATABASE_URL": ""}
        self.clean_up = rig.at_end(self.stop, [PROJECT / "deploy/local/stop"], self.stop_env)
        run_quietly([*(network.server if network else ()), "deploy/local/start"], self.env, f"the stack {name} does not start")

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
        run_quietly(["deploy/local/stop"], self.stop_env, f"the stack in {self.run_dir} does not stop")
        self.rig.undone(self.clean_up)

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
        rig.at_end(self.stop)  # and what a killed rig leaves, the janitor finds in the folder
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


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Rig:
    """A temporary folder and what runs in it; leaving the block ends and removes all of it, whatever happened. When the rig does not get to
    that, because it is killed, its janitor does (janitor.py)."""

    def __enter__(self):
        self.ends, self.numbers = {}, itertools.count()
        # What was told to ignore one (nohup) goes on doing so.
        before = {number: signal.getsignal(number) for number in SIGNALS}
        self.handlers = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
        self._handle(_leave)
        process.raise_file_limit()
        if os.getloadavg()[0] > 0.5 * os.cpu_count():
            print(f"bench: the load average is {os.getloadavg()[0]:.2f}: figures want a machine that does nothing else", flush=True)
        # In a session of its own: Ctrl-C and the end of the terminal are not meant for it.
        self.janitor = subprocess.Popen(["/usr/bin/python3", "-E", "-s", "-B", "-m", "rig.janitor"], cwd=PROJECT / "bench",
                                        start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        folder = self.janitor.stdout.readline().rstrip("\n")
        if not folder:
            raise RigError("the rig's janitor does not start: see above")
        self.directory = Path(folder)
        return self

    def at_end(self, action, argv=None, env=None, cwd=PROJECT, deadline=UNDO_S):
        """Registers a clean-up, before the thing is made: `action` for the rig's end, and the command that does the same for the janitor.
        The last comes first. Neither may mind that there is nothing to do. `argv` may be missing where nothing can be left behind but
        files in the rig's folder and processes that work there, which the janitor ends anyway. The result is for undone()."""
        number = next(self.numbers)
        self._tell({"number": number, "argv": argv and list(map(str, argv)), "env": env, "cwd": str(cwd), "deadline": deadline})
        self.ends[number] = action
        return number

    def undone(self, number):
        """What was registered so is gone already."""
        if self.ends.pop(number, None):
            self._tell({"forget": number})

    def run(self, words, env, failure, deadline=30):
        """Runs a short command that leaves no process. A killed rig's janitor waits for its end, lest it makes something afterwards."""
        return run_quietly(words, env, failure, deadline, pass_fds=(self.janitor.stdin.fileno(),))

    def __exit__(self, *_):
        self._handle(_stay)
        for number, action in reversed(list(self.ends.items())):
            try:
                action()
                self.undone(number)
            except Exception as error:  # one that fails must not keep the others from running; the janitor tries it again
                _complain(f"{error}" if isinstance(error, RigError) else repr(error))
        try:
            self.janitor.stdin.close()
        except OSError:
            pass
        self.janitor.stdout.close()
        if self.janitor.wait() != 0:
            _complain(f"the rig's janitor was killed: look whether {self.directory} is gone")
            shutil.rmtree(self.directory, ignore_errors=True)
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def _handle(self, handler):
        for number in self.handlers:
            signal.signal(number, handler)

    def _tell(self, entry):
        try:
            self.janitor.stdin.write(json.dumps(entry) + "\n")
            self.janitor.stdin.flush()
        except OSError as error:
            raise RigError("the rig's janitor was killed: start again") from error


def _complain(error):
    try:
        print(f"bench: {error}", file=sys.stderr, flush=True)
    except OSError:
        pass  # who was to read it is gone


def _stay(*_):
    """For signals during the clean-up. Not SIG_IGN, which the scripts that it runs would inherit."""


def _leave(number, _):
    """The first signal unwinds the rig's block; those behind it must not disturb that."""
    for each in SIGNALS:
        if signal.getsignal(each) is _leave:
            signal.signal(each, _stay)
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
