"""The store's connections: one file or memory by SQLite, or a server by PostgreSQL.

Every statement is a transaction of its own, durable once it is answered, so nothing is ever half done or held open.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

MAX_CONNECTIONS = 10
"""To a server, of one process."""
MEMORY = URL.create("sqlite+aiosqlite")
PRAGMAS = ("journal_mode = WAL", "synchronous = FULL")
"""Readers don't wait for the writer, and a commit is on the disk before it is answered."""


def in_file(path: Path) -> URL:
    """Return the address of a store in one file."""
    return URL.create("sqlite+aiosqlite", database=str(path))


def on_server(url: str) -> URL:
    """Return the address of a store on a PostgreSQL server.

    Raises:
        ValueError: It is the address of something else.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ValueError("must be of the form postgresql://USER:PASSWORD@HOST/DATABASE") from error
    if parsed.get_backend_name() != "postgresql":
        raise ValueError("must be of the form postgresql://USER:PASSWORD@HOST/DATABASE")
    # The driver has a word of its own for what every other client calls sslmode.
    query = {"ssl" if name == "sslmode" else name: value for name, value in parsed.query.items()}
    return parsed.set(drivername="postgresql+asyncpg", query=query)


def engine(url: URL, timeout_s: float) -> AsyncEngine:
    """Return an engine that has no connection yet; it waits *timeout_s* for a connection, a lock and an answer."""
    options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True}
    if url.get_backend_name() == "postgresql":
        return create_async_engine(
            url,
            pool_size=MAX_CONNECTIONS,
            max_overflow=0,
            pool_timeout=timeout_s,
            pool_reset_on_return=None,
            connect_args={"timeout": timeout_s, "command_timeout": timeout_s},
            **options,
        )
    # One connection: a file has one writer anyway, and memory is gone with its connection.
    made = create_async_engine(
        url, poolclass=StaticPool, pool_reset_on_return=None, connect_args={"timeout": timeout_s}, **options
    )
    event.listen(made.sync_engine, "connect", _configure)
    return made


def failures(url: URL) -> tuple[type[Exception], ...]:
    """Return what the store raises where it can't be reached, or fails."""
    if url.get_backend_name() != "postgresql":
        return (SQLAlchemyError, OSError)
    # Only where there is a server. What it says to a login, SQLAlchemy lets through as it is.
    import asyncpg  # type: ignore[import-untyped]  # noqa: PLC0415 - it publishes no types; as said above

    return (SQLAlchemyError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


def _configure(connection: Any, _: object) -> None:  # noqa: ANN401 - SQLAlchemy's shape of the driver's connection
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
