"""Upgrades with deploy/local/upgrade, good ones and broken ones."""
import os
import signal
import socket
import threading
import time

from kit import process
from kit.client import parse_head
from kit.load import Load
from kit.process import KitError, await_
from kit.stack import PROJECT, Stack, run
from kit.trial import row

from .tables import FILL


def worker_with(home, name, tail):
    """A copy of the worker that differs, at its end, where nobody looks."""
    file = home.directory / name
    file.write_bytes((PROJECT / home.worker).read_bytes() + tail.encode())
    file.chmod(0o755)
    return file


def is_program_of(pid, file):
    try:
        running, wanted = os.stat(f"/proc/{pid}/exe"), os.stat(file)
    except OSError:
        return False
    return (running.st_ino, running.st_dev) == (wanted.st_ino, wanted.st_dev)


@row("upgrade", "the binary replaced, and every worker in turn")
def upgrade(t):
    stack = t.home.stack()
    load = Load(stack)
    longest = 0.0
    for number in range(t.settings.injections):
        t.pause(0.2)
        before = set(stack.workers())
        began = time.monotonic()
        status, output = run(["deploy/local/upgrade", str(worker_with(t.home, "new-worker", f"round {number}"))], stack.env)
        longest = max(longest, time.monotonic() - began)
        t.check(status == 0, f"round {number}: {output}")
        after = stack.workers()
        t.check(not before & set(after), f"round {number}: workers of before are left")
        t.check(all(is_program_of(pid, stack.run_dir / "agents-fcgi") for pid in after), f"round {number}: a worker runs the old program")
    load.goes_on(0.5)
    t.judge(load.stop())
    t.figure(f"{t.settings.injections} upgrades of {stack.worker_count} workers, {longest:.1f} s at most")


class Reader(threading.Thread):
    """Reads one answer at `rate` bytes a second; `said` is what was wrong with it, None when it came whole."""

    def __init__(self, port, path, rate):
        super().__init__(daemon=True)
        self.port, self.path, self.rate, self.said, self.have = port, path, rate, "not at its end", 0

    def run(self):
        began = time.monotonic()
        try:
            with socket.create_connection(("127.0.0.1", self.port), 30) as s:
                s.sendall(f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                got = bytearray()
                while data := s.recv(1 << 16):
                    got += data
                    self.have = len(got)
                    # The rate is the test's subject: a client that is slow.
                    time.sleep(max(0, self.have / self.rate - (time.monotonic() - began)))
            status, headers = parse_head(bytes(got).partition(b"\r\n\r\n")[0])
            body = bytes(got).partition(b"\r\n\r\n")[2]
            whole = status == 200 and len(body) == int(headers["content-length"])
            self.said = None if whole else f"{status}, {len(body)} of {headers.get('content-length')} bytes"
        except (OSError, KitError, KeyError) as error:
            self.said = f"{error} after {self.have} bytes"


@row("large-upgrade", "the workers replaced and nginx reloaded while clients read answers of 11 MB for longer than the deadline")
def large_upgrade(t):
    home, main, deadline_s = t.home, t.home.stack(), 1
    database = main.make_database("large", FILL.format(count=49950))
    with Stack(home, "large", database=database, options=f"--request-timeout={deadline_s}s") as stack:
        length = len(stack.get("/agents").body)
        for what in ("upgrade", "reload"):
            # Longer than the first deadline of a drain, with much to spare.
            readers = [Reader(stack.port, path, length / (deadline_s + 5)) for path in ("/agents", "/agents_with_orm") * 2]
            for reader in readers:
                reader.start()
            await_(lambda: all(reader.have > 0 for reader in readers), "answers have begun")
            began = time.monotonic()
            if what == "upgrade":
                status, output = run(["deploy/local/upgrade", str(worker_with(home, "new-worker", what))], stack.env)
                t.check(status == 0, output)
            else:
                process.send(stack.pid("nginx"), signal.SIGHUP)
            took = time.monotonic() - began
            for reader in readers:
                reader.join(90)
            t.check(all(reader.said is None for reader in readers), f"{what}: {[reader.said for reader in readers]}")
            t.figure(f"{what} in {took:.1f} s: {len(readers)} of {len(readers)} answers of {length:,} bytes whole, "
                     f"read for {time.monotonic() - began:.0f} s at a deadline of {deadline_s} s")
            stack.await_health()
    main.sql("DROP DATABASE large WITH (FORCE)", "postgres")


BROKEN = {
    "exits at once": ("exit 1", "check"),
    "does nothing": ("exit 0", "check"),
    "cannot connect": ('exec REAL --database=host=/nonexistent "$@"', "check"),
    "crashes behind its check": ('case "$*" in *--check* | *--print-config*) exec REAL "$@" ;; esac; kill -SEGV $$', "worker 1"),
    "connects only in its check": ('case "$*" in *--check* | *--print-config*) exec REAL "$@" ;; esac; '
                                   'exec REAL --database=host=/nonexistent "$@"', "worker 1"),
}


@row("broken-upgrade", "a binary that exits at once, crashes, or cannot connect")
def broken_upgrade(t):
    stack = t.home.stack()
    real = worker_with(t.home, "real-worker", "")
    load = Load(stack)
    for name, (script, where) in BROKEN.items():
        file = t.home.directory / "broken-worker"
        file.write_text("#!/bin/sh\n" + script.replace("REAL", str(real)) + "\n", encoding="ascii")
        file.chmod(0o755)
        before, program = set(stack.workers()), (stack.run_dir / "agents-fcgi").read_bytes()
        status, output = run(["deploy/local/upgrade", str(file)], stack.env)
        t.check(status == 1 and where in output, f"a worker that {name} is not refused by its {where}: {output}")
        t.check((stack.run_dir / "agents-fcgi").read_bytes() == program, f"a worker that {name}: the old file is not back")
        await_(stack.is_whole, f"the pool is whole after a worker that {name}")
        lost = before - set(stack.workers())
        t.check(len(lost) <= (where != "check"), f"a worker that {name} cost {len(lost)} of {len(before)} workers")
    load.goes_on(0.5)
    t.judge(load.stop())
    t.figure(f"{len(BROKEN)} broken binaries refused: 3 by the check, 2 at the first worker")


@row("drain", "SIGTERM with a 2 s query in flight")
def drain(t):
    from kit.fastcgi import ask
    main = t.home.stack()
    database = main.make_database("slow", slow_logins(2))
    with Stack(t.home, "drain", workers=3, options="--share=off", database=database) as stack:
        load = Load(stack, {"/index": 1000})
        rounds = max(2, t.settings.injections // 3)
        for _ in range(rounds):
            before = stack.workers()

            def end_all():
                await_(lambda: main.sql("SELECT 1 FROM pg_stat_activity WHERE datname = 'slow' AND state = 'active' AND "
                                        "query LIKE '%af.number%' AND pid <> pg_backend_pid()"), "the slow query is under way")
                for pid in before:
                    process.send(pid, signal.SIGTERM)
            status, body = ask(stack.socket, "/agents", sent=end_all)
            t.check(status == 200 and body.startswith(b"[{"), f"a query in flight at SIGTERM was answered with {status}")
            stack.seconds_until_whole(time.monotonic(), before)
            stack.await_health()
        t.judge(load.stop())
    main.sql("DROP DATABASE slow WITH (FORCE)", "postgres")
    t.figure(f"{rounds} queries in flight at SIGTERM to all workers answered")
    exit_status(t)


def exit_status(t):
    """Of a worker of our own, since multiwatch keeps its children's to itself."""
    import socket
    import subprocess
    from kit.fastcgi import ask
    main = t.home.stack()
    database = main.make_database("slow", slow_logins(2))
    path = str(t.home.directory / "drain.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(16)
        child = t.home.spawn([str(PROJECT / t.home.worker), "--share=off"], stdin=listener, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, env={"PATH": "/usr/bin", "HOME": "/", "AGENTS_FCGI_DATABASE": database})
        await_(lambda: ask(path, "/index")[0] == 200, "a worker of our own serves")
        told = []

        def end():
            await_(lambda: main.sql("SELECT 1 FROM pg_stat_activity WHERE datname = 'slow' AND state = 'active' AND "
                                    "query LIKE '%af.number%' AND pid <> pg_backend_pid()"), "the slow query is under way")
            child.terminate()
            told.append(time.monotonic())
        status, _ = ask(path, "/agents", sent=end)
        t.check(status == 200, f"a query in flight at SIGTERM was answered with {status}")
        await_(lambda: child.poll() is not None, "a worker ends")
        took = time.monotonic() - told[0]
        t.check(child.returncode == 0, f"its exit status was {child.returncode}")
        t.figure(f"exit 0 after {took:.1f} s (deadline 5 s)")
        t.time(took <= 6, f"the worker took {took:.1f} s to end")
    main.sql("DROP DATABASE slow WITH (FORCE)", "postgres")


def slow_logins(seconds):
    """SQL that makes each read of agent_login_status take so long, once for its only row, which is nobody's."""
    return f"""CREATE FUNCTION slow() RETURNS boolean LANGUAGE plpgsql STABLE COST 1000000 AS
        $$ BEGIN PERFORM pg_sleep({seconds}); RETURN true; END $$;
        INSERT INTO agent_login_status VALUES (-1, '', '', '', '', '');
        ALTER TABLE agent_login_status ENABLE ROW LEVEL SECURITY; ALTER TABLE agent_login_status FORCE ROW LEVEL SECURITY;
        CREATE POLICY slow ON agent_login_status USING (slow())"""
