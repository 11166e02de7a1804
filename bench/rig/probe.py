#!/usr/bin/python3
"""Measures a network between two programs. `probe.py serve ADDRESS` prints its port and serves until it is ended; `probe.py measure ADDRESS
PORT SECONDS SAMPLES` prints JSON: what it receives in Mbit/s of TCP payload, and the round trips of one byte over TCP in microseconds."""
import json
import socket
import sys
import time

BULK, ECHO = b"b", b"e"
# Until TCP has found its pace.
SETTLE_S = 0.3
DEADLINE_S = 10


def send_without_end(connection):
    block = memoryview(bytes(256 * 1024))
    while True:
        connection.send(block)


def echo(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while byte := connection.recv(1):
        connection.send(byte)


def serve(address):
    server = socket.create_server((address, 0))
    print(server.getsockname()[1], flush=True)
    while True:
        connection = server.accept()[0]
        connection.settimeout(DEADLINE_S)
        with connection:
            try:
                what = connection.recv(1)
                if what in (BULK, ECHO):
                    (send_without_end if what == BULK else echo)(connection)
            except OSError:
                pass  # the other end has enough


def ask(address, port, what):
    connection = socket.create_connection((address, port), DEADLINE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.send(what)
    return connection


def receive(connection, seconds):
    """Mbit/s over so many seconds."""
    block, count = bytearray(1024 * 1024), 0
    start = now = time.monotonic()
    while now < start + seconds:
        got = connection.recv_into(block)
        if not got:
            raise ConnectionError("the sender has ended")
        count, now = count + got, time.monotonic()
    return count * 8 / 1e6 / (now - start)


def round_trips(connection, samples):
    found = []
    for _ in range(samples):
        start = time.perf_counter_ns()
        connection.send(b"x")
        if not connection.recv(1):
            raise ConnectionError("the echo has ended")
        found.append((time.perf_counter_ns() - start) / 1000)
    found.sort()
    return {"min": round(found[0], 1), "median": round(found[samples // 2], 1), "p99": round(found[samples * 99 // 100], 1)}


def measure(address, port, seconds, samples):
    with ask(address, port, BULK) as connection:
        receive(connection, SETTLE_S)
        rate = receive(connection, seconds)
    with ask(address, port, ECHO) as connection:
        round_trips(connection, 100)
        print(json.dumps({"mbit": round(rate, 1), "rtt_us": round_trips(connection, samples)}))


def main():
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    measure(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"probe: {error!r}")
