"""The gateway's ledger from outside: where it is, and in which phase a call is, read as an operator would."""

import secrets
import sqlite3
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it publishes no types
from sqlalchemy.engine import make_url

from gateway.ledger import Key

Call = tuple[str, str, str, str, bytes]
"""Phase, caller, method, parent, scope."""
LEDGER = {"lease_s": 0.6, "reconcile_every_s": 0.2, "listing_lag_s": 1.0, "max_write_s": 3.0}
"""Short, so that a run takes minutes; simulators list at once what they accepted."""
QUERY = "SELECT phase, caller, method, parent, scope FROM calls ORDER BY created_at DESC LIMIT 20"
"""The newest calls: more are not on their way at a time."""
ENVIRON = "CHAOS_STORE"


class Store:
    """A ledger that keeps nothing."""

    def __init__(self) -> None:
        self.settings: dict[str, object] = {"store": "memory", **LEDGER}
        self.environ: dict[str, str] = {}

    async def phases(self, request_ids: Collection[str]) -> dict[str, str]:
        """Return in which phase each of these calls is, as far as it is in one."""
        # The ledger keeps no request id, only what it is known by.
        return {
            request_id: phase
            for phase, caller, method, parent, scope in await self._newest()
            for request_id in request_ids
            if Key(caller, method, parent, request_id).scope == scope
        }

    async def _newest(self) -> list[Call]:
        return []


class File(Store):
    """A SQLite file."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.settings |= {"store": "sqlite", "directory": str(folder)}
        self._path = folder / "ledger.sqlite"

    async def _newest(self) -> list[Call]:
        # Opened anew each time: after a kill, the gateway that comes next must be the one that recovers the file.
        try:
            with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as connection:
                return list(connection.execute(QUERY))
        except sqlite3.OperationalError:
            return []  # not there yet, or being written


class Server(Store):
    """A PostgreSQL database."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.settings |= {"store": "postgresql", "url": {"env": ENVIRON}}
        self.environ = {ENVIRON: url}

    async def _newest(self) -> list[Call]:
        connection: Any = await asyncpg.connect(self.environ[ENVIRON])
        try:
            return [tuple(row) for row in await connection.fetch(QUERY)]
        except asyncpg.UndefinedTableError:
            return []
        finally:
            await connection.close()


@asynccontextmanager
async def opened(kind: str, folder: Path, url: str) -> AsyncIterator[Store]:
    """Make an empty store of *kind*; for `postgresql`, a database on the server of *url*, gone afterwards."""
    if kind != "postgresql":
        yield File(folder) if kind == "sqlite" else Store()
        return
    name = f"chaos_{secrets.token_hex(8)}"
    server: Any = await asyncpg.connect(url)
    try:
        await server.execute(f"CREATE DATABASE {name}")
        yield Server(make_url(url).set(database=name).render_as_string(hide_password=False))
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await server.close()
