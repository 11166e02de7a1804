"""Records and requests of every wrong kind, while others are served."""
import random
import struct
import time

from kit import fastcgi as f
from kit import process
from kit.client import parse_head, raw
from kit.load import Load, measure
from kit.process import KitError, await_
from kit.stack import Stack, golden
from kit.trial import in_threads, row

HUGE = struct.pack("!I", 0x7fffffff | 1 << 31)
ALL_VALUES = b"".join(f.pair(name, "") for name in ("FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS"))

# Bytes on the pool's socket, and what has to come of them: "closed" (whatever is said before), or the role or status that is answered.
WRONG_RECORDS = {
    "no FastCGI at all": (b"GET /index HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    "another version": (f.record(f.BEGIN, struct.pack("!HB5x", 1, 0), version=9), b""),
    "PARAMS without BEGIN": (f.record(f.PARAMS, f.params("/index")) + f.record(f.PARAMS) + f.record(f.STDIN), b""),
    "a short BEGIN": (f.record(f.BEGIN, b"\0\1"), b""),
    "two BEGINs": (f.begin() + f.begin(), b""),
    "a name longer than the record": (f.begin() + f.record(f.PARAMS, HUGE + HUGE + b"x"), b""),
    "a name longer than memory": (f.begin() + f.record(f.PARAMS, 8 * b"\xff") + f.record(f.PARAMS) + f.record(f.STDIN), b""),
    "parameters of 80 KB": (f.begin() + 10 * f.record(f.PARAMS, f.pair("X", "a" * 8000)) + f.record(f.PARAMS) + f.record(f.STDIN), b""),
    "STDIN of 80 KB": (f.begin() + f.record(f.PARAMS, f.params("/index")) + f.record(f.PARAMS) + 10 * f.record(f.STDIN, b"x" * 8000), b""),
    "an unknown role": (f.begin(role=7) + f.record(f.PARAMS) + f.record(f.STDIN), f.record(f.END, b"\0\0\0\0\3\0\0\0")),
    "ABORT in the midst": (f.begin() + f.record(f.ABORT), f.record(f.END, b"\0\0\0\0\0\0\0\0")),
    "an unknown management record": (f.record(77, b"", request=0), f.record(11, b"\x4d\0\0\0\0\0\0\0", request=0)),
    "GET_VALUES twice over": (2 * f.record(f.GET_VALUES, 4 * ALL_VALUES, request=0), f.record(10, b"", request=0)[:4]),
    "another request's PARAMS": (f.begin() + f.record(f.PARAMS, f.params("/index"), request=2) + f.record(f.STDIN), b""),
    "bytes behind the request": (f.request("/index") + b"more", b""),
}


def judge_record(t, stack, name, patience_s):
    """The worker closes, at once or by its time-out, and says what the specification has it say."""
    data, wanted = WRONG_RECORDS[name]
    # After a management record the connection goes on; else the worker is to close it by itself.
    said, seconds = f.last_word(stack.socket, data, patience_s, half_close=wanted[1:2] in (b"\x0a", b"\x0b"))
    if said is None:
        t.check(False, f"{name}: the connection was still open after {seconds:.0f} s")
    else:
        t.check(said.startswith(wanted) if wanted else b"200 OK" not in said or name == "bytes behind the request",
                f"{name}: {said[:60]!r} instead of {wanted!r}")


def pieces(t, stack):
    """A whole request, byte by byte, is served."""
    import socket
    data = f.request("/index")
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.connect(stack.socket)
        for i in range(len(data)):
            s.sendall(data[i:i + 1])
            if i % 16 == 0:
                # How slowly they come.
                time.sleep(0.001)
        said = b""
        while more := s.recv(1 << 16):
            said += more
    t.check(b"200" in said and b'{"hello": "world"}' in said, f"a request byte by byte was answered with {said[:80]!r}")


def halves(stack, count, seed):
    """Requests cut anywhere, their connections kept open; returns the sockets."""
    import socket
    chance, data, opened = random.Random(seed), f.request("/agents"), []
    for _ in range(count):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(30)
        s.connect(stack.socket)
        s.sendall(data[:chance.randrange(1, len(data))])
        opened.append(s)
    return opened


@row("bad-records", "malformed, cut, oversized and management records, half requests ×1,000 on the socket")
def bad_records(t):
    deadline_s, mix = 2, {"/index": 800, "/agents": 800}
    with Stack(t.home, "records", options=f"--request-timeout={deadline_s}s", database=t.home.stack().conninfo()) as stack:
        undisturbed = measure(stack, 2, mix)
        workers = stack.workers()
        before = sum(process.descriptors(pid) for pid in workers)
        load = Load(stack, mix)
        for name in WRONG_RECORDS:
            judge_record(t, stack, name, deadline_s + 20)
        pieces(t, stack)
        chance = t.random.getrandbits(64)
        in_threads(lambda name: [judge_record(t, stack, name, deadline_s + 20) for _ in range(20)], list(WRONG_RECORDS))
        opened = halves(stack, 1000, chance)
        cut = time.monotonic()
        await_(lambda: sum(process.descriptors(pid) for pid in workers) <= before + 64, "half requests are closed by the deadline")
        closed_s = time.monotonic() - cut
        for s in opened:
            s.close()
        for _ in range(200):
            f.last_word(stack.socket, bytes(t.random.getrandbits(8) for _ in range(t.random.randrange(1, 300))), deadline_s + 20, True)
        result = load.stop()
        t.check(set(workers) == set(stack.workers()), "a worker was replaced")
    t.judge(result)
    t.figure(f"{len(WRONG_RECORDS)} kinds ×21 and 200 random ones closed or answered; 1,000 halves closed after {closed_s:.1f} s "
             f"(deadline {deadline_s} s); 0 workers lost")
    t.ratio_of_p99(result, "/index", undisturbed)


LONG = "a" * 32768

# Bytes to nginx and the status of the answer; None: it only closes. TE and CL together are how requests are smuggled.
WRONG_HTTP = {
    "no Host": ("GET /index HTTP/1.1\r\n\r\n", 400),
    "two Hosts": ("GET /index HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "a path above the root": ("GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "the same, encoded": ("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a path that comes back": ("GET /x/../../index HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "an encoded NUL": ("GET /index%00.html HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a wrong encoding": ("GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "an unknown path, encoded": ("GET /%2findex%2f HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
    "32 KiB of one header": (f"GET /index HTTP/1.1\r\nHost: x\r\nX: {LONG}\r\n\r\n", 431),
    "32 KiB of many headers": ("GET /index HTTP/1.1\r\nHost: x\r\n" + "".join(f"X{i}: {'b' * 1000}\r\n" for i in range(40)) + "\r\n", 431),
    "a long path": (f"GET /{LONG} HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "a body too large": ("POST /index HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", 413),
    "a body on GET": ("GET /index HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", 200),
    "POST": ("POST /index HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 405),
    "DELETE": ("DELETE /agents HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405),
    "TRACE": ("TRACE /index HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    "CONNECT": ("CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a method of its own": ("FETCH /index HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405),
    "a method in lower case": ("get /index HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "Content-Length and chunked": ("POST /index HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
                                   "0\r\n\r\nGET /agents HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "two Content-Lengths": ("POST /index HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 4\r\n\r\nGET ", 400),
    "an unknown coding": ("POST /index HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501),
    "a coding in disguise": ("POST /index HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 501),
    "a negative length": ("POST /index HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    "HTTP/2 without asking": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None),
    "HTTP/9": ("GET /index HTTP/9.0\r\nHost: x\r\n\r\n", 505),
    "TLS": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\x00" * 40 + "\r\n\r\n", 400),
    "HTTP/0.9": ("GET /index\r\n", None),
}


def judge_http(t, stack, name):
    text, status = WRONG_HTTP[name]
    said = raw(stack.port, text.encode("latin-1"))
    if said is None:
        t.check(False, f"{name}: the connection was still open after 20 s")
        return
    if name == "HTTP/0.9":
        t.check(said == golden("/index"), f"{name}: {said[:80]!r}, not the body alone")
    if status is None:
        return
    head, _, body = said.partition(b"\r\n\r\n")
    try:
        got, headers = parse_head(head)
    except KitError as error:
        t.check(False, f"{name}: {error}")
        return
    t.check(got == status, f"{name}: {got} instead of {status}")
    if status >= 400:
        t.check(headers.get("content-type") == "application/problem+json" and f'"status": {status}'.encode() in body,
                f"{name}: no problem in form: {headers} {body[:80]!r}")
        t.check(said.count(b"HTTP/1.1 ") == 1, f"{name}: what followed it was answered, too")


def pipelined(t, stack):
    """Requests that follow each other without a wait are answered in order, up to one that is wrong."""
    good = b"GET /index HTTP/1.1\r\nHost: x\r\n\r\n"
    said = raw(stack.port, 50 * good + b"GET /agents HTTP/1.1\r\nHost: x\r\n\r\n" + b"BAD\r\n\r\n" + good)
    t.check(said is not None and said.count(b"HTTP/1.1 200 OK") == 51 and said.count(b"HTTP/1.1 400") == 1,
            f"of 51 requests and a wrong one {said.count(b'HTTP/1.1 200 OK') if said else said} were answered")


def slow_headers(t, stack):
    """A header that never ends is given up at nginx's client_header_timeout, 10 s, however slowly it goes on."""
    import socket
    began = time.monotonic()
    with socket.socket() as s:
        s.settimeout(60)
        s.connect(("127.0.0.1", stack.port))
        try:
            s.sendall(b"GET /index HTTP/1.1\r\n")
            for i in range(450):
                s.sendall(f"X-{i}: y\r\n".encode())
                s.settimeout(0.1)
                try:
                    if not s.recv(4096):
                        break
                except TimeoutError:
                    pass
        except OSError:
            pass
    took = time.monotonic() - began
    t.check(took < 40, f"a header that never ends was read for {took:.0f} s")
    t.figure(f"an endless header given up after {took:.0f} s")


def complaints(stack):
    return sum(stack.log("worker").count(word) for word in ('"level":"error"', '"event":"protocol_error"'))


@row("bad-http", "wrong methods, headers, bodies and paths, pipelining, slow headers, smuggling pairs")
def bad_http(t):
    stack = t.home.stack()
    workers = stack.workers()
    errors = complaints(stack)
    load = Load(stack)
    names = list(WRONG_HTTP)
    in_threads(lambda action: action(), [lambda: pipelined(t, stack), lambda: slow_headers(t, stack)] +
               [lambda name=name: [judge_http(t, stack, name) for _ in range(2)] for name in names])
    result = load.stop()
    t.check(set(workers) == set(stack.workers()), "a worker was replaced")
    t.check(complaints(stack) == errors, "a worker logged an error, or was sent records that it could not read")
    t.judge(result)
    t.figure(f"{len(names)} kinds ×2 refused or closed, 0 worker errors")
    t.ratio_of_p99(result, "/index")
