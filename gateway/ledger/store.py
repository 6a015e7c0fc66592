"""The ledger's rows: each step of a call's life is one statement, which does nothing where another was faster."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Executable, RowMapping
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.errors import StoreUnavailable
from gateway.ledger import MAX_WRITE_S
from gateway.ledger import statements as sql
from gateway.ledger.engine import MEMORY, engine, failures
from gateway.ledger.migrating import migrate

LOG = logging.getLogger(__name__)
T = TypeVar("T")

TIMEOUT_S = 5.0
"""How long a statement may take, and a connection before it."""
MAX_SAID_CHARS = 200


class Row(NamedTuple):
    """One mutating call, as `schema.CALLS` has it."""

    id: str
    caller: str
    method: str
    parent: str
    request_id: str | None
    """None: `fingerprint` is made with it."""
    scope: bytes | None
    place: int
    fingerprint: bytes
    connection: str
    kind: str
    phase: str
    wanted: bytes | None = None
    """What to look for where the answer is lost; null: the call may be made again."""
    result: bytes | None = None
    status: bytes | None = None
    resource: str | None = None
    """Name of what it came to at the vendor."""
    resource_key: bytes | None = None
    owner: str | None = None
    lease_until: float | None = None
    looks: int = 0
    next_look_at: float | None = None
    created_at: float = 0.0
    sent_at: float | None = None
    unknown_at: float | None = None
    """When its answer was lost, or will be if its owner lives on; stays."""
    settled_at: float | None = None

    @property
    def marker(self) -> str:
        """What the vendor is given to find the call by: 8 hexadecimal digits."""
        return self.id[:8]


class AlreadyAdopted(Exception):
    """The vendor's resource is what another call came to."""


def key_of(name: str) -> bytes:
    """Return what a resource's name is found by: an index can't hold the longest of names."""
    return sha256(name.encode()).digest()


class Store:
    """Rows somewhere, opened when the first of them is needed.

    Every method raises StoreUnavailable where the store does not answer in time, and whether it did what it was asked
    to is not known then.
    """

    def __init__(
        self,
        url: URL = MEMORY,
        *,
        timeout_s: float = TIMEOUT_S,
        max_write_s: float = MAX_WRITE_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.url = url
        self.now = now
        self.max_write_s = max_write_s
        self._timeout_s = timeout_s
        self._reserve, self._lease = sql.entering(url.get_backend_name())
        self._engine: AsyncEngine | None = None
        self._opening: asyncio.Task[AsyncEngine] | None = None
        self._under_way: set[asyncio.Task[Any]] = set()

    @property
    def unused(self) -> bool:
        """Whether it is memory that nothing was ever put into."""
        return self.url == MEMORY and self._engine is None

    async def open(self) -> None:
        """Connect, and bring the schema up to date."""
        await self._do(self._opened)

    async def close(self) -> None:
        """Let what is under way end, and close the connections."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=self._timeout_s)
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None

    # A call's own steps.

    async def reserve(self, row: Row) -> Row | None:
        """Enter a row; return the one that has its request id already, where there is one."""
        if await self._run(self._reserve, row._asdict()) or row.scope is None:
            return None
        found = await self._rows(sql.AT_PLACE, {"b_scope": row.scope, "b_place": row.place})
        if found and found[0].id == row.id:
            return None
        # Gone since: the other call left nothing, and the next try will find its place free.
        return found[0] if found else row._replace(id="")

    async def take_over(self, row: Row, owner: str, until: float) -> bool:
        """Make a row one's own whose owner died before anything was sent."""
        values = {"b_id": row.id, "b_now": self.now(), "b_owner": owner, "b_until": until}
        return bool(await self._run(sql.TAKE_OVER, values))

    async def announce(self, row_id: str, owner: str, until: float, phase: str = sql.SENDING) -> bool:
        """Note that the next thing is to send; False: the row is somebody else's by now."""
        values = {"b_id": row_id, "b_now": self.now(), "b_owner": owner, "b_until": until, "b_phase": phase}
        return bool(await self._run(sql.ANNOUNCE, values))

    async def renew(self, row_ids: Iterable[str], owner: str, until: float) -> None:
        """Stay the owner of rows."""
        await self._run(sql.RENEW, {"b_ids": list(row_ids), "b_owner": owner, "b_until": until})

    async def free(self, row_id: str, owner: str) -> None:
        """Take out a row of a call that left nothing."""
        await self._run(sql.FREE, {"b_id": row_id, "b_owner": owner})

    async def lose(self, row_id: str) -> None:
        """Note that the answer of a call is lost."""
        await self._run(sql.LOSE, {"b_id": row_id, "b_now": self.now()})

    async def accept(self, row_id: str, result: bytes, resource: str | None) -> bool:
        """Settle a call by what it came to; False: it is settled already.

        Raises:
            AlreadyAdopted: *resource* is what another call came to.
        """
        values = {
            "b_id": row_id,
            "b_now": self.now(),
            "b_result": result,
            "b_resource": resource,
            "b_resource_key": key_of(resource) if resource else None,
        }
        return bool(await self._run(sql.ACCEPT, values))

    async def reject(self, row_id: str, status: bytes, *, let_go: bool = False) -> bool:
        """Settle a call by why it came to nothing; False: it is settled already.

        *let_go* gives its request id back, for a call that sends what this one did not.
        """
        statement = sql.REJECT_AND_LET_GO if let_go else sql.REJECT
        return bool(await self._run(statement, {"b_id": row_id, "b_now": self.now(), "b_status": status}))

    # Looking at rows.

    async def find(self, row_id: str) -> Row | None:
        """Return a row."""
        rows = await self._rows(sql.BY_ID, {"b_id": row_id})
        return rows[0] if rows else None

    async def places(self, scope: bytes) -> list[Row]:
        """Return all calls under one request id, in order."""
        return await self._rows(sql.PLACES, {"b_scope": scope})

    async def adopted(self, resources: Sequence[str]) -> dict[str, str]:
        """Return which of the vendor's *resources* calls came to, each with the id of its row."""
        found = await self._run_rows(sql.ADOPTED, {"b_keys": [key_of(name) for name in resources]})
        return {row["resource"]: row["id"] for row in found}

    async def started(self, connection: str, before: tuple[float, str], limit: int) -> list[Row]:
        """Return calls that started a job of a connection, or may have, newest first, from *before* on."""
        values = {"b_connection": connection, "b_at": before[0], "b_id": before[1], "b_limit": limit}
        return await self._rows(sql.STARTED, values)

    async def names(self, since: float, before: tuple[float, str], limit: int) -> list[tuple[str, float, str]]:
        """Return jobs that calls came to at *since* or later, newest first, each with when, and the id of its row.

        *before* is such a time and id, of the last one of the page before.
        """
        at, row_id = before
        found = await self._run_rows(sql.NAMES, {"b_since": since, "b_at": at, "b_id": row_id, "b_limit": limit})
        return [(row["resource"], row["settled_at"], row["id"]) for row in found]

    async def lost(self, since: float, limit: int) -> list[Row]:
        """Return calls about jobs that were lost, or lost and settled, at *since* or later, newest first."""
        return await self._rows(sql.LOST_JOBS, {"b_since": since, "b_limit": limit})

    # Calls whose answer was lost.

    async def bury(self, row_id: str | None = None) -> int:
        """Note that answers are lost whose owners died after the announcement; return how many."""
        values = {"b_now": self.now(), "b_id": row_id or "", "b_write_s": self.max_write_s}
        return await self._run(sql.BURY if row_id is None else sql.BURY_ONE, values)

    async def due(self, limit: int) -> list[tuple[str, str]]:
        """Return ids of calls to look for, each with its connection."""
        found = await self._run_rows(sql.DUE, {"b_now": self.now(), "b_limit": limit})
        return [(row["id"], row["connection"]) for row in found]

    async def claim(self, row_id: str, owner: str, until: float) -> Row | None:
        """Return a call to look for, as one that nobody else looks for meanwhile; None: somebody does, or did."""
        values = {"b_id": row_id, "b_now": self.now(), "b_owner": owner, "b_until": until}
        rows = await self._rows(sql.CLAIM, values)
        return rows[0] if rows else None

    async def looked(self, row_id: str, owner: str, *, looks: int, next_look_at: float) -> None:
        """Give a claim back; look again later."""
        values = {"b_id": row_id, "b_owner": owner, "b_looks": looks, "b_next": next_look_at}
        await self._run(sql.LOOKED, values)

    async def twins(self, row: Row) -> bool:
        """Tell whether a call that asks for just the same is being sent."""
        return bool(await self._run_rows(sql.TWINS, {"b_id": row.id, "b_wanted": row.wanted}))

    # Keeping house.

    async def lease(self, name: str, owner: str, until: float) -> bool:
        """Become, or stay, the one who does something."""
        values = {"name": name, "owner": owner, "until": until, "b_now": self.now()}
        return bool(await self._run_rows(self._lease, values))

    async def forget(self, *, ids_before: float, jobs_before: float, limit: int) -> int:
        """Take out what is too old, of at most *limit* rows a kind; return how many there were."""
        values = {"b_ids_before": ids_before, "b_jobs_before": jobs_before, "b_now": self.now(), "b_limit": limit}
        return sum([await self._run(statement, values) for statement in sql.FORGET])

    # How it is done.

    async def _run(self, statement: Executable, values: Mapping[str, Any]) -> int:
        """Execute a statement; return how many rows it changed."""

        async def work() -> int:
            opened = await self._opened()
            async with opened.connect() as connection:
                return (await connection.execute(statement, values)).rowcount

        return await self._do(work)

    async def _run_rows(self, statement: Executable, values: Mapping[str, Any]) -> Sequence[RowMapping]:
        async def work() -> Sequence[RowMapping]:
            opened = await self._opened()
            async with opened.connect() as connection:
                return (await connection.execute(statement, values)).mappings().all()

        return await self._do(work)

    async def _rows(self, statement: Executable, values: Mapping[str, Any]) -> list[Row]:
        return [Row(**row) for row in await self._run_rows(statement, values)]

    async def _do(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        # A task of its own: a statement that is cut off takes its connection along, and in memory everything with it.
        task = asyncio.get_running_loop().create_task(self._again(work))
        self._under_way.add(task)
        task.add_done_callback(self._done)
        done, _ = await asyncio.wait({task}, timeout=self._timeout_s)
        if not done:
            raise StoreUnavailable(f"the ledger's store did not answer within {self._timeout_s:g} s")
        try:
            return task.result()
        except IntegrityError as error:
            raise AlreadyAdopted from error
        except failures(self.url) as error:
            # Not to the caller, and only the first line: the others may hold values of the statement.
            said = str(getattr(error, "orig", error)).partition("\n")[0][:MAX_SAID_CHARS]
            LOG.warning("the ledger's store failed: %s", said)
            raise StoreUnavailable(f"the ledger's store failed: {type(error).__name__}") from error

    @staticmethod
    async def _again(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do *work*, once more where the connection had gone: each statement may be repeated."""
        try:
            return await work()
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            return await work()

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()

    async def _opened(self) -> AsyncEngine:
        if self._engine is not None:
            return self._engine
        if self._opening is None or self._opening.done():
            self._opening = asyncio.get_running_loop().create_task(self._open())
            self._opening.add_done_callback(self._done)
        return await asyncio.shield(self._opening)

    async def _open(self) -> AsyncEngine:
        if self.url.get_backend_name() == "sqlite" and self.url.database:
            Path(self.url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = engine(self.url, self._timeout_s)
        try:
            await migrate(made, fresh=self.url == MEMORY)
            self._engine = made
        finally:
            if self._engine is not made:
                await made.dispose()
        return made
