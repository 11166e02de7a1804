#!/usr/bin/python3
"""request_cost.py WORKER… [-- OPTION…]: user-space instructions of a worker for one request (callgrind): the difference of two runs, so that what a start costs
does not count. Requests come one after the other on one kept connection: each has a turn of the event loop for itself, so this is the most that one can cost.
The database is that of AGENTS_FCGI_DATABASE or libpq's PG variables; without one only /index is measured. Of several workers the first is the measure.
"""
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile

FEW, MANY = 200, 1200
PATHS = ("/index", "/agents")


def record(kind, content):
    return struct.pack("!BBHHBx", 1, kind, 1, len(content), 0) + content


def pair(name, value):
    return bytes((len(name), len(value))) + name.encode() + value.encode()


def request(path):
    params = (pair("REQUEST_METHOD", "GET") + pair("DOCUMENT_URI", path) + pair("REQUEST_ID", "00112233445566778899aabbccddeeff") +
              pair("AGENTS_LISTENER", "public"))
    return record(1, b"\0\1\1\0\0\0\0\0") + record(4, params) + record(4, b"") + record(5, b"")


def exact(conn, size):
    data = b""
    while len(data) < size:
        piece = conn.recv(size - len(data))
        if not piece:
            raise ConnectionError("the worker closed the connection")
        data += piece
    return data


def ask(conn, path):
    """The answer's bytes of content."""
    conn.sendall(request(path))
    content = b""
    while True:
        _, kind, _, length, padding = struct.unpack("!BBHHBx", exact(conn, 8))
        piece = exact(conn, length + padding)[:length]
        if kind == 3:
            return content
        content += piece


def instructions(worker, options, path, count):
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(folder + "/socket")
        listener.listen(16)
        out = folder + "/callgrind"
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + out, worker, "--request-timeout=60s", *options]
        with open(folder + "/log", "w+") as log, subprocess.Popen(command, stdin=listener, stdout=log, stderr=log) as process:
            with socket.socket(socket.AF_UNIX) as conn:
                conn.connect(folder + "/socket")
                for _ in range(count):
                    answer = ask(conn, path)
                    if not answer.startswith(b"Status: 200"):
                        process.kill()
                        raise ValueError(f"{path}: {answer[:200]!r}")
            process.terminate()
            process.wait(60)
            with open(out) as text:
                return int(re.search(r"^(?:summary|totals): (\d+)", text.read(), re.M).group(1))


def main():
    words = sys.argv[1:]
    options = words[words.index("--") + 1:] if "--" in words else []
    workers = words[:words.index("--")] if "--" in words else words
    paths = PATHS if "AGENTS_FCGI_DATABASE" in os.environ or "PGHOST" in os.environ else PATHS[:1]
    if not workers:
        sys.exit(__doc__)
    for path in paths:
        first = None
        for worker in workers:
            cost = (instructions(worker, options, path, MANY) - instructions(worker, options, path, FEW)) / (MANY - FEW)
            first = first or cost
            print(f"{path}: {cost:,.0f} instructions a request, {cost / first:.3f} of the first: {worker}", flush=True)


if __name__ == "__main__":
    main()
