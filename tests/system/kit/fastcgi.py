"""FastCGI records (Specification 1.0), good and bad ones, and a client of the pool's socket."""
import socket
import struct
import time

from .process import KitError

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT = 1, 2, 3, 4, 5, 6
GET_VALUES = 9
RESPONDER, KEEP = 1, 1


def record(kind, content=b"", request=1, version=1, length=None):
    return struct.pack("!BBHHBB", version, kind, request, len(content) if length is None else length, 0, 0) + content


def pair(name, value):
    def size(text):
        return bytes([len(text)]) if len(text) < 128 else struct.pack("!I", len(text) | 1 << 31)
    name, value = name.encode(), value.encode()
    return size(name) + size(value) + name + value


def begin(role=RESPONDER, keep=0, request=1):
    return record(BEGIN, struct.pack("!HB5x", role, keep), request)


def params(path):
    given = {"REQUEST_METHOD": "GET", "DOCUMENT_URI": path, "REQUEST_ID": "0" * 32, "AGENTS_LISTENER": "public"}
    return b"".join(pair(name, value) for name, value in given.items())


def request(path, keep=0):
    return begin(keep=keep) + record(PARAMS, params(path)) + record(PARAMS) + record(STDIN)


def ask(address, path, timeout=30, sent=None):
    """(status, body) of a GET on a Unix socket; calls sent() once it is on its way."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
        s.connect(address)
        s.sendall(request(path))
        if sent:
            sent()
        out = b""
        with s.makefile("rb") as stream:
            while True:
                head = stream.read(8)
                if len(head) < 8:
                    raise KitError(f"a worker closed the connection in the midst of its answer to {path}")
                _, kind, _, length, padding, _ = struct.unpack("!BBHHBB", head)
                content = stream.read(length + padding)[:length]
                if kind == END:
                    break
                out += content
    head, _, body = out.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def last_word(address, data, timeout, half_close=False):
    """Sends bytes; what comes back until the worker closes, or None when it does not within `timeout`; and how long that took."""
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
        s.connect(address)
        received = b""
        try:
            s.sendall(data)
            if half_close:
                s.shutdown(socket.SHUT_WR)
            while True:
                more = s.recv(1 << 16)
                if not more:
                    break
                received += more
        except (BrokenPipeError, ConnectionResetError):
            pass
        except TimeoutError:
            return None, time.monotonic() - began
    return received, time.monotonic() - began
