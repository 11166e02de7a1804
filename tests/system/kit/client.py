"""HTTP clients that look at every answer: one request, a prober that asks again and again, and raw bytes."""
import json
import socket
import threading
import time

from .process import KitError


class Answer:
    """Status, headers (names in lower case) and body; `seconds` from the send to the last byte."""

    def __init__(self, status, headers, body, seconds):
        self.status, self.headers, self.body, self.seconds = status, headers, body, seconds

    def is_problem(self):
        """A status of 400 or more in the form of RFC 9457, which says so itself; 503 and 502 with Retry-After."""
        if self.status < 400 or self.headers.get("content-type") != "application/problem+json":
            return False
        try:
            problem = json.loads(self.body)
        except ValueError:
            return False
        return (problem.get("status") == self.status and bool(problem.get("title")) and
                (self.status not in (502, 503) or self.headers.get("retry-after", "").isdigit()))


def parse_head(head):
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise KitError(f"not the head of an answer: {lines[0][:80]!r}")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(words[1]), headers


class Connection:
    """A kept connection to 127.0.0.1. Every failure is an OSError or a KitError, and closes it."""

    def __init__(self, port, timeout=30):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def close(self):
        self.socket.close()

    def _more(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise KitError("the connection was closed in the midst of an answer" if self.rest else "the connection was closed")
        self.rest += data

    def read(self, began, head_only=False):
        while b"\r\n\r\n" not in self.rest:
            self._more()
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        status, headers = parse_head(head)
        length = 0 if head_only or status in (204, 304) else int(headers.get("content-length", "0"))
        chunks, have = [self.rest], len(self.rest)
        while have < length:
            data = self.socket.recv(1 << 18)
            if not data:
                raise KitError(f"an answer ended after {have} of {length} bytes")
            chunks.append(data)
            have += len(data)
        whole = b"".join(chunks)
        body, self.rest = whole[:length], whole[length:]
        return Answer(status, headers, body, time.monotonic() - began)

    def get(self, path, method="GET", more=""):
        began = time.monotonic()
        try:
            self.socket.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode("latin-1"))
            return self.read(began, method == "HEAD")
        except (OSError, KitError):
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def get(port, path, timeout=30):
    with Connection(port, timeout) as connection:
        return connection.get(path)


class Prober(threading.Thread):
    """Asks for a path on a kept connection again and again, `every` seconds, and keeps what came: (when, Answer or error)."""

    def __init__(self, port, path, every=0.02, timeout=60):
        super().__init__(daemon=True)
        self.port, self.path, self.every, self.timeout = port, path, every, timeout
        self.seen, self.ended = [], threading.Event()

    def run(self):
        connection = None
        while not self.ended.is_set():
            began = time.monotonic()
            try:
                connection = connection or Connection(self.port, self.timeout)
                self.seen.append((began, connection.get(self.path)))
            except (OSError, KitError) as error:
                self.seen.append((began, error))
                connection = None
            self.ended.wait(max(0.0, self.every - (time.monotonic() - began)))
        if connection:
            connection.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join(self.timeout + 5)

    def answers(self, since=0.0):
        return [answer for when, answer in list(self.seen) if when >= since and isinstance(answer, Answer)]

    def errors(self, since=0.0):
        return [error for when, error in list(self.seen) if when >= since and not isinstance(error, Answer)]


class Probers:
    """Several of them: one that has to wait for its answer sees little of the others'."""

    def __init__(self, count, *words, **options):
        self.all = [Prober(*words, **options) for _ in range(count)]

    def __enter__(self):
        for prober in self.all:
            prober.start()
        return self

    def __exit__(self, *_):
        for prober in self.all:
            prober.ended.set()
        for prober in self.all:
            prober.__exit__()

    def answers(self, since=0.0):
        return [answer for prober in self.all for answer in prober.answers(since)]

    def errors(self, since=0.0):
        return [error for prober in self.all for error in prober.errors(since)]

    def refusal_ms(self, since=0.0):
        """(how many got 503, within how many milliseconds half of them did)."""
        times = sorted(answer.seconds * 1000 for answer in self.answers(since) if answer.status == 503)
        return len(times), times[len(times) // 2] if times else 0.0


def raw(port, data, timeout=20, address=None):
    """Sends bytes on a new connection and returns all that comes until the peer closes it; None when it stays open for `timeout`."""
    target = socket.socket(socket.AF_UNIX) if address else socket.socket()
    with target as s:
        s.settimeout(timeout)
        s.connect(address or ("127.0.0.1", port))
        received = b""
        try:
            s.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            while True:
                more = s.recv(1 << 16)
                if not more:
                    return received
                received += more
        except ConnectionResetError:
            return received
        except TimeoutError:
            return None
