"""Records a worker's whole answer, so that the null responder sends the very same bytes. FastCGI Specification 1.0."""
import socket
import struct

BEGIN_REQUEST, END_REQUEST, PARAMS, STDIN = 1, 3, 4, 5
RESPONDER, KEEP_CONN = 1, 1


def _record(kind, content):
    return struct.pack("!BBHHBB", 1, kind, 1, len(content), 0, 0) + content


def _pair(name, value):
    return bytes([len(name), len(value)]) + name.encode() + value.encode()


def _request(path):
    params = {"REQUEST_METHOD": "GET", "DOCUMENT_URI": path, "REQUEST_ID": "0" * 32, "AGENTS_LISTENER": "public"}
    begin = struct.pack("!HB5x", RESPONDER, KEEP_CONN)
    pairs = b"".join(_pair(name, value) for name, value in params.items())
    return _record(BEGIN_REQUEST, begin) + _record(PARAMS, pairs) + _record(PARAMS, b"") + _record(STDIN, b"")


def record_answer(socket_path, path):
    """The bytes from the first record to END_REQUEST; nginx numbers its requests 1, and so does this."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(socket_path)
        s.sendall(_request(path))
        with s.makefile("rb") as stream:
            answer = b""
            while True:
                head = stream.read(8)
                if len(head) < 8:
                    raise RuntimeError(f"a worker closed the connection in the middle of its answer to {path}")
                _, kind, _, length, padding, _ = struct.unpack("!BBHHBB", head)
                answer += head + stream.read(length + padding)
                if kind == END_REQUEST:
                    return answer
