"""The three paths on aiohttp and asyncpg: WORKERS processes, each with a listening socket of its own on the same port."""
import os
import signal
import sys
from pathlib import Path

import asyncpg
import ujson
import uvloop
from aiohttp import web

SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(os.environ["SQL_DIR"]).glob("*.sql")}
CONNECTIONS = int(os.environ["POOL"])


class Connection(asyncpg.Connection):
    """No query changes the session, so the pool need not reset it with one more query behind each."""

    async def reset(self, *, timeout=None):
        pass


def answer(value):
    return web.Response(body=ujson.dumps(value).encode(), content_type="application/json", charset="utf-8")


async def index(_):
    return answer({"hello": "world"})


def rows_of(name):
    sql = SQL[name]

    async def handler(request):
        return answer([dict(row) for row in await request.app["pool"].fetch(sql)])

    return handler


async def pool(app):
    """While the application runs. asyncpg prepares each statement once for a connection."""
    async with asyncpg.create_pool(min_size=CONNECTIONS, max_size=CONNECTIONS, connection_class=Connection) as app["pool"]:
        yield


async def make_app():
    app = web.Application()
    app.router.add_get("/index", index)
    for name in SQL:
        app.router.add_get(f"/{name}", rows_of(name))
    app.cleanup_ctx.append(pool)
    return app


def work():
    uvloop.install()
    web.run_app(make_app(), host=os.environ["LISTEN"], port=int(os.environ["PORT"]), reuse_port=True, backlog=4096, keepalive_timeout=65,
                access_log=None, print=None)


def lead(count):
    """Starts the processes; when it is told to end, or one of them has ended, all end."""
    def leave(*_):
        sys.exit(0)

    signal.signal(signal.SIGTERM, leave)
    children = []
    try:
        for _ in range(count):
            pid = os.fork()
            if pid == 0:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                children.clear()
                work()
                return
            children.append(pid)
        ended = os.wait()[0]
        children.remove(ended)
        sys.exit(f"process {ended} has ended")
    finally:
        for pid in children:
            os.kill(pid, signal.SIGTERM)


if __name__ == "__main__":
    lead(int(os.environ["WORKERS"]))
