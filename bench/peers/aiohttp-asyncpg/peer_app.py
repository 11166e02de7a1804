"""The three paths on aiohttp and asyncpg; gunicorn runs make_app once in each of its processes."""
import os
from pathlib import Path

import asyncpg
import ujson
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
