#!/usr/bin/python3
"""The delaying proxy, build/bench/delay_proxy or what DELAY_PROXY names, between clients and servers of this test's own. Prints `ok NAME`
or `not ok NAME` and a closing count. Times are only asserted from below, or as a small part of what a wrong proxy would take."""
import hashlib
import os
import random
import resource
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import cases
from cases import PROJECT, await_

PROXY = os.environ.get("DELAY_PROXY") or str(PROJECT / "build/bench/delay_proxy")
PATIENCE_S = 60
HELD = 1 << 20  # of a line, as the proxy has it
MILLION = 1 << 20


class Server:
    """Listens on a Unix socket; `serve` gets each connection in a thread of its own."""

    def __init__(self, path, serve):
        self.path, self.serve, self.errors, self.served = path, serve, [], 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1024)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.settimeout(PATIENCE_S)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        try:
            with connection:
                self.serve(connection)
        except (OSError, AssertionError) as error:
            self.errors.append(error)
        # Here its connection is closed.
        self.served += 1

    def close(self):
        # close() alone would leave accept() waiting.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def echo(connection):
    while data := connection.recv(65536):
        connection.sendall(data)


class Proxy:
    """The proxy before the server at `to`."""

    def __init__(self, folder, to, delay_ms, files=None):
        self.path = folder / "proxy"
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))) if files else None
        self.child = subprocess.Popen([PROXY, "-d", str(delay_ms), str(self.path), str(to)], stdout=subprocess.PIPE, text=True,
                                      stderr=open(folder / "errors", "w", encoding="utf-8"), preexec_fn=limit)
        self.errors = folder / "errors"
        self.ended = False
        assert self.child.stdout.readline().startswith(f"listening on {self.path}"), self.errors.read_text(encoding="utf-8")

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(PATIENCE_S)
        client.connect(str(self.path))
        return client

    def files(self):
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))

    def memory_kb(self):
        with open(f"/proc/{self.child.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))

    def cpu_s(self):
        with open(f"/proc/{self.child.pid}/stat", encoding="ascii") as f:
            return sum(int(n) for n in f.read().rpartition(") ")[2].split()[11:13]) / os.sysconf("SC_CLK_TCK")

    def end(self, number=signal.SIGTERM):
        """Its exit status."""
        if not self.ended:
            assert self.child.poll() is None, f"it has ended by itself: {self.errors.read_text(encoding='utf-8')}"
            self.child.send_signal(number)
        self.ended = True
        return self.child.wait(PATIENCE_S)


@contextmanager
def between(serve=echo, delay_ms=5.0, files=None):
    """A running proxy and its server. Whatever the test did, the proxy must end well and leave nothing."""
    with tempfile.TemporaryDirectory(prefix="delay-proxy-test.") as name:
        folder = Path(name)
        server = Server(folder / "server", serve)
        proxy = Proxy(folder, server.path, delay_ms, files)
        try:
            yield proxy, server
        finally:
            status = proxy.end()
            server.close()
        assert status == 0, f"exit status {status}: {proxy.errors.read_text(encoding='utf-8')}"
        assert not proxy.path.exists(), "its socket is left behind"
        assert not [error for error in server.errors if isinstance(error, AssertionError)], server.errors


def receive(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        assert piece, f"it ends after {len(data)} of {size} bytes"
        data += piece
    return data


def digest_of_rest(connection):
    digest, size = hashlib.sha256(), 0
    while data := connection.recv(65536):
        digest.update(data)
        size += len(data)
    return size, digest.hexdigest()


def noise(size, seed):
    return random.Random(seed).randbytes(size)


def send_in_parts(connection, data, seed):
    rng, at = random.Random(seed), 0
    while at < len(data):
        size = rng.choice((1, 7, 100, 8192, 70_000))
        connection.sendall(data[at:at + size])
        at += size
    connection.shutdown(socket.SHUT_WR)


def is_idle(proxy):
    """It does not turn in circles: what an idle process takes does not depend on how busy the machine is."""
    before = proxy.cpu_s()
    time.sleep(0.5)
    assert proxy.cpu_s() - before < 0.2, f"it has used {proxy.cpu_s() - before:.2f} s of CPU in half an idle second"


# --- arguments ------------------------------------------------------------------------------------------------------------------

def run(*arguments):
    return subprocess.run([PROXY, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_help():
    for flag in ("--help", "-h"):
        done = run(flag)
        assert done.returncode == 0 and "--delay" in done.stdout and "usage: delay_proxy" in done.stdout and not done.stderr, done


def test_bad_arguments():
    with tempfile.TemporaryDirectory() as folder:
        at, to = f"{folder}/at", f"{folder}/to"
        with Server(to, echo).listener:
            for says, *arguments in (
                    ("two sockets",), ("two sockets", at), ("two sockets", at, to, to), ("usage:", "--what", at, to), ("usage:", "-d"),
                    ("--delay x:", "-d", "x", at, to), ("--delay :", "-d", "", at, to), ("--delay -1:", "-d", "-1", at, to),
                    ("--delay 10001:", "-d", "10001", at, to), ("--delay 1e3:", "-d", "1e3", at, to),
                    ("--delay 5ms:", "--delay", "5ms", at, to),
                    ("--delay inf:", "-d", "inf", at, to), ("--delay  5:", "-d", " 5", at, to), ("--delay .:", "-d", ".", at, to),
                    ("1 to 107 bytes", "", to), ("1 to 107 bytes", "x" * 108, to), ("1 to 107 bytes", at, "x" * 108)):
                done = run(*arguments)
                assert done.returncode == 2 and says in done.stderr and not done.stdout, (arguments, done)
                assert not os.path.exists(at), f"{arguments} leave a socket"


def test_no_server():
    with tempfile.TemporaryDirectory() as folder:
        done = run(f"{folder}/at", f"{folder}/nobody")
        assert done.returncode == 1 and f"{folder}/nobody: is no socket" in done.stderr, done
        Path(folder, "file").touch()
        done = run(f"{folder}/at", f"{folder}/file")
        assert done.returncode == 1 and "is no socket" in done.stderr, done
        assert not os.path.exists(f"{folder}/at")


def test_taken():
    with tempfile.TemporaryDirectory() as folder, Server(f"{folder}/to", echo).listener:
        Path(folder, "at").write_text("mine", encoding="utf-8")
        done = run(f"{folder}/at", f"{folder}/to")
        assert done.returncode == 1 and f"{folder}/at" in done.stderr and "remove it" in done.stderr, done
        assert Path(folder, "at").read_text(encoding="utf-8") == "mine"
        done = run(f"{folder}/none/at", f"{folder}/to")
        assert done.returncode == 1 and f"{folder}/none/at" in done.stderr, done


# --- delay ----------------------------------------------------------------------------------------------------------------------

def stream(delay_ms, count, pause_s):
    """Sends `count` messages without waiting for their echoes; the seconds from each one's send to its echo, and those of all."""
    with between(echo, delay_ms) as (proxy, _), proxy.connect() as client:
        sent, took = [], []

        def read():
            for number in range(count):
                assert receive(client, 8) == b"%08d" % number
                took.append(time.monotonic() - sent[number])

        reader = threading.Thread(target=read)
        reader.start()
        begin = time.monotonic()
        for number in range(count):
            sent.append(time.monotonic())
            client.sendall(b"%08d" % number)
            time.sleep(pause_s)
        reader.join(PATIENCE_S)
        assert len(took) == count, f"{len(took)} of {count} echoes"
        return took, time.monotonic() - begin


def test_pipelined():
    took, whole = stream(20, 500, 0)
    assert min(took) >= 0.020, min(took)
    assert whole < 500 * 0.020 / 2, f"{whole:.2f} s: as if one waited for the other"


def test_spaced():
    """Some come while others wait: each has its own delay. A line that began the wait anew for each, or waited for quiet, would show."""
    took, whole = stream(50, 300, 0.001)
    assert min(took) >= 0.050, min(took)
    assert sorted(took)[len(took) // 2] < 300 * 0.050 / 10 and whole < 300 * 0.050 / 2, (took, whole)


def test_fraction_and_none():
    for delay_ms in (0.5, 0):
        took, _ = stream(delay_ms, 100, 0)
        assert min(took) >= delay_ms / 1000, (delay_ms, min(took))


def test_not_to_the_server():
    arrived = []

    def note(connection):
        receive(connection, 1)
        arrived.append(time.monotonic())
        echo(connection)

    with between(note, 10_000) as (proxy, _), proxy.connect() as client:
        begin = time.monotonic()
        client.sendall(b"x")
        await_(lambda: arrived, "nothing arrives at the server")
        assert arrived[0] - begin < 8, "what the client sends is held back"


def test_connections_of_their_own():
    """One that is answered late does not keep another from its answer, and many at once are each delayed once."""
    with between(echo, 100) as (proxy, _):
        clients = [proxy.connect() for _ in range(50)]
        begin = time.monotonic()
        for client in clients:
            client.sendall(b"x")
        for client in clients:
            assert receive(client, 1) == b"x"
            assert time.monotonic() - begin >= 0.100
            client.close()
        assert time.monotonic() - begin < 50 * 0.100 / 2


# --- bytes ----------------------------------------------------------------------------------------------------------------------

def test_order():
    down, up, seen = noise(16 * MILLION, 1), noise(8 * MILLION, 2), []

    def serve(connection):
        sender = threading.Thread(target=send_in_parts, args=(connection, down, 3))
        sender.start()
        seen.append(digest_of_rest(connection))
        sender.join()

    with between(serve, 2) as (proxy, _), proxy.connect() as client:
        sender = threading.Thread(target=send_in_parts, args=(client, up, 4))
        sender.start()
        assert digest_of_rest(client) == (len(down), hashlib.sha256(down).hexdigest())
        sender.join()
        await_(lambda: seen, "the server does not see the end")
        assert seen == [(len(up), hashlib.sha256(up).hexdigest())]


def test_many():
    """A thousand at once, or as many as the limit of open files lets this test have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = max(min(1000, (hard - 100) // 2), 10)

    def serve_all(folder, ready):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / "server"))
        listener.listen(4096)
        listener.setblocking(False)
        with selectors.EpollSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            ready.set()
            open_ones = set()
            done = 0
            while done < count:
                for key, _ in selector.select(PATIENCE_S):
                    if key.fileobj is listener:
                        connection, _ = listener.accept()
                        open_ones.add(connection)
                        selector.register(connection, selectors.EVENT_READ)
                    elif data := key.fileobj.recv(1000):
                        key.fileobj.sendall(data)
                    else:
                        selector.unregister(key.fileobj)
                        key.fileobj.close()
                        done += 1
        listener.close()

    with tempfile.TemporaryDirectory() as name:
        folder, ready = Path(name), threading.Event()
        thread = threading.Thread(target=serve_all, args=(folder, ready), daemon=True)
        thread.start()
        assert ready.wait(PATIENCE_S)
        proxy = Proxy(folder, folder / "server", 50)
        clients = [proxy.connect() for _ in range(count)]
        for turn in range(2):
            for number, client in enumerate(clients):
                client.sendall(b"%d:%06d" % (turn, number))
            for number, client in enumerate(clients):
                assert receive(client, 8) == b"%d:%06d" % (turn, number)
        idle = proxy.files() - 2 * count
        for client in clients:
            client.close()
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the server does not see all of them end"
        await_(lambda: proxy.files() <= idle, "descriptors are left open")
        assert proxy.end() == 0


# --- ends -----------------------------------------------------------------------------------------------------------------------

def test_client_half_closes():
    def serve(connection):
        request = b""
        while data := connection.recv(100):
            request += data
        connection.sendall(b"all of " + request)

    with between(serve, 50) as (proxy, _), proxy.connect() as client:
        begin = time.monotonic()
        client.sendall(b"this")
        client.shutdown(socket.SHUT_WR)
        assert receive(client, 11) == b"all of this" and client.recv(1) == b""
        assert time.monotonic() - begin >= 0.050


def test_server_half_closes():
    got = []

    def serve(connection):
        connection.sendall(b"bye")
        connection.shutdown(socket.SHUT_WR)
        got.append(receive(connection, 5))
        assert connection.recv(1) == b""
        got.append("end")

    with between(serve, 50) as (proxy, _):
        begin = time.monotonic()
        with proxy.connect() as client:
            assert receive(client, 3) == b"bye" and client.recv(1) == b""
            assert time.monotonic() - begin >= 0.050
            client.sendall(b"still")
            await_(lambda: got == [b"still"], "what follows a half-close does not arrive")
            is_idle(proxy)
        await_(lambda: got == [b"still", "end"], "the end does not arrive")


def test_descriptors():
    """Ends from all sides, each with something on its way, leave no descriptor."""
    def serve(connection):
        order = connection.recv(1)
        if order == b"c":
            connection.sendall(noise(3 * MILLION, 1))
        elif order == b"s":
            connection.sendall(b"x" * 1000)
        # "r": closed with bytes unread

    with between(serve, 20) as (proxy, server):
        idle = proxy.files()
        for _ in range(10):
            with proxy.connect() as client:
                client.sendall(b"c")
                receive(client, 1000)
            with proxy.connect() as client:
                client.sendall(b"s")
                assert len(receive(client, 1000)) == 1000 and client.recv(1) == b""
            with proxy.connect() as client:
                client.sendall(b"r" + b"x" * 100_000)
                assert client.recv(1) == b""
            proxy.connect().close()
        await_(lambda: proxy.files() == idle, f"{proxy.files() - idle} descriptors are left")
        assert any(isinstance(error, (BrokenPipeError, ConnectionResetError)) for error in server.errors), "the server is not told"
        is_idle(proxy)


def test_last_words():
    """A server that says why and goes, while the client is sending: the reason arrives all the same."""
    def serve(connection):
        receive(connection, 1)
        connection.sendall(b"FATAL: so it is")

    with between(serve, 100) as (proxy, server), proxy.connect() as client:
        client.sendall(b"x")
        await_(lambda: server.served, "the server does not go")
        try:
            for _ in range(50):
                client.sendall(b"y" * 1000)
        except OSError:
            pass
        assert receive(client, 15) == b"FATAL: so it is"


# --- bounds ---------------------------------------------------------------------------------------------------------------------

def send_what_goes(connection, data):
    """Sends until nothing was taken for a second, or all is sent; the number of bytes."""
    sent = 0
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_WRITE)
        while sent < len(data) and selector.select(1):
            sent += connection.send(data[sent:sent + 65536], socket.MSG_DONTWAIT)
    return sent


def test_bound_to_client():
    data, state = noise(64 * MILLION, 5), {}

    def serve(connection):
        state["sent"] = send_what_goes(connection, data)
        assert state["go on"].wait(PATIENCE_S)
        connection.sendall(data[state["sent"]:])

    state["go on"] = threading.Event()
    with between(serve, 5) as (proxy, _), proxy.connect() as client:
        before = proxy.memory_kb()
        await_(lambda: "sent" in state, "the server does not stop sending")
        assert HELD / 2 < state["sent"] < 4 * HELD, f"{state['sent']:,} bytes taken from the server, and nobody reads them"
        assert proxy.memory_kb() - before < 8 * 1024, f"{before} kB have become {proxy.memory_kb()}"
        is_idle(proxy)
        with proxy.connect() as another:
            assert another.recv(1) != b"", "a full line stops the others"
        state["go on"].set()
        assert digest_of_rest(client) == (len(data), hashlib.sha256(data).hexdigest())


def test_bound_to_server():
    data, go_on, seen = noise(64 * MILLION, 6), threading.Event(), []

    def serve(connection):
        assert go_on.wait(PATIENCE_S)
        seen.append(digest_of_rest(connection))

    with between(serve, 5) as (proxy, _), proxy.connect() as client:
        before = proxy.memory_kb()
        sent = send_what_goes(client, data)
        assert HELD / 2 < sent < 4 * HELD, f"{sent:,} bytes taken from the client, and nobody reads them"
        assert proxy.memory_kb() - before < 8 * 1024, f"{before} kB have become {proxy.memory_kb()}"
        is_idle(proxy)
        go_on.set()
        client.sendall(data[sent:])
        client.shutdown(socket.SHUT_WR)
        await_(lambda: seen, "the server does not see the end")
        assert seen == [(len(data), hashlib.sha256(data).hexdigest())]


def test_full_and_gone():
    """The line is full, and the server has ended: no turning in circles over its end. Then the client goes without reading."""
    def serve(connection):
        send_what_goes(connection, noise(64 * MILLION, 7))

    with between(serve, 5) as (proxy, server):
        idle = proxy.files()
        with proxy.connect() as client:
            client.sendall(b"x" * 1000)
            await_(lambda: proxy.memory_kb() and proxy.files() == idle + 2, "not connected")
            await_(lambda: server.served, "the server does not go")
            is_idle(proxy)
        await_(lambda: proxy.files() == idle, "descriptors are left open")


def test_few_descriptors():
    with between(echo, 5, files=24) as (proxy, _):
        clients = [proxy.connect() for _ in range(20)]
        for client in clients:
            client.sendall(b"x")
        await_(lambda: "have to wait" in proxy.errors.read_text(encoding="utf-8"), "it does not say that clients have to wait")
        await_(lambda: len(readable(clients)) >= 5, "with 24 descriptors it serves less than five")
        is_idle(proxy)
        served = readable(clients)
        assert len(served) < 12, f"{len(served)} served with 24 descriptors"
        for client in served:
            client.close()
        rest = [client for client in clients if client not in served]
        assert receive(rest[0], 1) == b"x", "who had to wait is not served later"
        for client in rest:
            client.close()


def readable(sockets):
    with selectors.DefaultSelector() as selector:
        for one in sockets:
            selector.register(one, selectors.EVENT_READ)
        return [key.fileobj for key, _ in selector.select(0)]


# --- the server and the signals -------------------------------------------------------------------------------------------------

def test_server_away():
    with between(echo, 5) as (proxy, server):
        server.close()
        for _ in range(3):
            with proxy.connect() as client:
                assert client.recv(1) == b"", "a client waits where no server listens"
        errors = proxy.errors.read_text(encoding="utf-8")
        assert errors.count(str(server.path)) == 1, f"it does not say once where nobody listens: {errors!r}"
        os.unlink(server.path)
        server.__init__(server.path, echo)
        with proxy.connect() as client:
            client.sendall(b"again")
            assert receive(client, 5) == b"again"


def test_signals():
    for number in (signal.SIGTERM, signal.SIGINT):
        with between(echo, 50) as (proxy, _), proxy.connect() as client:
            client.sendall(b"x")
            receive(client, 1)
            assert proxy.path.is_socket()
            client.sendall(b"on its way")
            assert proxy.end(number) == 0
            assert not proxy.path.exists()
            assert client.recv(100) in (b"", b"on its way")


if __name__ == "__main__":
    if not os.access(PROXY, os.X_OK):
        sys.exit(f"{PROXY} is not built: make build/bench/delay_proxy")
    sys.exit(cases.run(globals()))
