"""The store's schema, brought up to date by whichever replica comes first; the others wait for it."""

import logging
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.ledger.schema import HEAD, METADATA

LOG = logging.getLogger(__name__)

LOCK = 0x61756469656E6365
"""The advisory lock of a server's migration: a number that nothing else there is likely to use."""


async def migrate(engine: AsyncEngine, *, fresh: bool) -> None:
    """Make the schema what this release needs; a *fresh* store that nobody else can see needs no history."""
    async with engine.connect() as connection:
        if fresh:
            await connection.run_sync(METADATA.create_all)
        elif await connection.run_sync(_revision) != HEAD:
            await connection.run_sync(_locked)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def _locked(connection: Connection) -> None:
    """Migrate, unless somebody else has while this waited for its turn."""
    server = connection.dialect.name == "postgresql"
    # One transaction around all: what breaks off in the middle leaves nothing.
    connection.exec_driver_sql("BEGIN" if server else "BEGIN IMMEDIATE")
    ending = "ROLLBACK"
    try:
        if server:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        _upgrade(connection)
        ending = "COMMIT"
    finally:
        connection.exec_driver_sql(ending)


def _upgrade(connection: Connection) -> None:
    # Slow to load, and needed once a release.
    from alembic import command  # noqa: PLC0415 - as said above
    from alembic.config import Config  # noqa: PLC0415 - as said above
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as said above

    found = _revision(connection)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        LOG.warning("the ledger's store is of a newer release (%s): going on over it", found)
        return
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    LOG.info("the ledger's store is at revision %s", HEAD)
