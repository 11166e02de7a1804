#!/usr/bin/python3
"""relay.py PORT SOCKET: passes TCP connections on 127.0.0.1:PORT on to a Unix socket. Stopped (SIGSTOP), it is a server that has gone
silent: what is open gets no answer, and once its short queue is full, new connections are not even refused. Continued, it is healed."""
import selectors
import socket
import sys


def close(selector, ends, *sockets):
    for s in sockets:
        if s in ends:
            selector.unregister(s)
            del ends[s]
            s.close()


def main():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[1])))
    listener.listen(2)
    print("listens", flush=True)
    selector, ends = selectors.DefaultSelector(), {}
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                client, server = listener.accept()[0], socket.socket(socket.AF_UNIX)
                try:
                    server.connect(sys.argv[2])
                except OSError:
                    client.close()
                    server.close()
                    continue
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for one, other in ((client, server), (server, client)):
                    ends[one] = other
                    selector.register(one, selectors.EVENT_READ)
                continue
            source = key.fileobj
            if source not in ends:
                continue
            target = ends[source]
            try:
                data = source.recv(1 << 17)
                if data:
                    target.sendall(data)
            except OSError:
                data = b""
            if not data:
                close(selector, ends, source, target)


main()
