"""The gateway's ledger from outside: where it is, and in which phase a call is, read as an operator would."""

import secrets
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it publishes no types
from sqlalchemy.engine import make_url

LEDGER = {"lease_s": 0.6, "reconcile_every_s": 0.2, "listing_lag_s": 1.0, "max_write_s": 3.0}
"""Short, so that a run takes minutes; simulators list at once what they accepted."""
QUERY = "SELECT phase, request_id FROM calls"
ENVIRON = "CHAOS_STORE"


class Store:
    """A ledger that keeps nothing."""

    def __init__(self) -> None:
        self.settings: dict[str, object] = {"store": "memory", **LEDGER}
        self.environ: dict[str, str] = {}

    async def phases(self) -> dict[str, str]:
        """Return the phase of each call by its request id."""
        return {}


class File(Store):
    """A SQLite file."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.settings |= {"store": "sqlite", "directory": str(folder)}
        self._path = folder / "ledger.sqlite"

    async def phases(self) -> dict[str, str]:
        # Opened anew each time: after a kill, the gateway that comes next must be the one that recovers the file.
        try:
            with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as connection:
                return {request_id: phase for phase, request_id in connection.execute(QUERY)}
        except sqlite3.OperationalError:
            return {}  # not there yet, or being written


class Server(Store):
    """A PostgreSQL database."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.settings |= {"store": "postgresql", "url": {"env": ENVIRON}}
        self.environ = {ENVIRON: url}

    async def phases(self) -> dict[str, str]:
        connection: Any = await asyncpg.connect(self.environ[ENVIRON])
        try:
            return {row["request_id"]: row["phase"] for row in await connection.fetch(QUERY)}
        except asyncpg.UndefinedTableError:
            return {}
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
