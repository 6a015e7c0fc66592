"""Stores for tests: in memory, in a file, and on a server where TEST_POSTGRES_URL names one."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]  # it publishes no types
import pytest
from sqlalchemy.engine import URL

from adapters.secrets import Secret
from gateway.ledger.engine import MEMORY, in_file, on_server
from gateway.settings import LedgerSettings

KINDS = ("memory", "sqlite", "postgresql")
SERVER = os.environ.get("TEST_POSTGRES_URL", "")


@asynccontextmanager
async def address(kind: str, folder: Path) -> AsyncIterator[URL]:
    """Yield the address of an empty store, and leave nothing of it."""
    if kind == "memory":
        yield MEMORY
    elif kind == "sqlite":
        yield in_file(folder / "ledger.sqlite")
    elif not SERVER:
        pytest.skip("TEST_POSTGRES_URL is not set")
    else:
        async with database() as url:
            yield on_server(url)


@asynccontextmanager
async def configured(kind: str, folder: Path) -> AsyncIterator[LedgerSettings]:
    """Yield the configuration of an empty store, and leave nothing of it."""
    async with address(kind, folder) as url:
        if kind == "postgresql":
            plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
            yield LedgerSettings(store="postgresql", url=Secret(plain))
        else:
            yield LedgerSettings(store="memory" if kind == "memory" else "sqlite", directory=str(folder))


@asynccontextmanager
async def database() -> AsyncIterator[str]:
    """Make a database of its own on the server; yield its URL."""
    name = f"ledger_{uuid4().hex}"
    server = await asyncpg.connect(SERVER)
    try:
        await server.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{SERVER.rpartition('/')[0]}/{name}"
        finally:
            await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await server.close()
