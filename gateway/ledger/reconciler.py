"""What became of calls whose answer was lost: looked for at the vendor, at the start and from time to time."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from adapters import calls, names
from adapters.base import Adapter
from adapters.errors import ApiError, NotSupported, StoreUnavailable
from audiencegateway.v1.destinations_pb2 import Destination, Subscription
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from audiencegateway.v1.members_pb2 import UploadedFile
from gateway.ledger import settling
from gateway.ledger.ledger import Ledger
from gateway.ledger.store import AlreadyAdopted, Row

LOG = logging.getLogger(__name__)

Found = ExportJob | Destination | Subscription
AdapterOf = Callable[[str], Adapter[Any]]
"""From a connection's id to its adapter. Raises Missing."""

AT_ONCE = 50
"""Calls that one pass looks for."""
LOOK_S = 30.0
"""How long one look may take."""
MARGIN_S = 60.0
"""How much longer than a look its claim lasts."""
MIN_LOOKS = 3
MAX_WAIT_S = 3600.0
"""Between two looks for what only a person may settle."""


class Reconciler:
    """Looks for what is lost, each call by one replica at a time."""

    def __init__(
        self, ledger: Ledger, adapter_of: AdapterOf, *, every_s: float = 30.0, listing_lag_s: float | None = None
    ) -> None:
        self._ledger = ledger
        self._store = ledger.store
        self._adapter_of = adapter_of
        self._every_s = every_s
        self._listing_lag_s = listing_lag_s

    async def look(self) -> None:
        """Look once for each call that is due.

        Raises:
            StoreUnavailable: The rest is looked for later, by whoever comes first.
        """
        await self._store.bury()
        due: dict[str, list[str]] = {}
        for row_id, connection in await self._store.due(AT_ONCE):
            due.setdefault(connection, []).append(row_id)
        looks = await asyncio.gather(*map(self._look_at, due.values()), return_exceptions=True)
        for failed in filter(None, looks):
            raise failed

    async def _look_at(self, row_ids: Iterable[str]) -> None:
        """Look for calls of one connection, one after the other, until it does not answer: the others come later."""
        answers: bool | BaseException = True
        for row_id in row_ids:
            until = self._store.now() + LOOK_S + MARGIN_S
            row = await self._store.claim(row_id, self._ledger.owner, until)
            if row is None:
                continue
            if not answers:
                await self._later(row, self._every_s, row.looks)
                continue
            (answers,) = await asyncio.gather(self._look_for(row), return_exceptions=True)
            if isinstance(answers, StoreUnavailable):
                raise answers
            if isinstance(answers, BaseException):
                # A mistake of ours, about this call: the others are looked for all the same.
                LOG.error("call %s could not be looked for", row.id, exc_info=answers)
                await self._later(row, self._every_s, row.looks)

    async def _look_for(self, row: Row) -> bool:
        """Look for a call; return whether its vendor answered."""
        now, looks = self._store.now(), row.looks
        try:
            adapter = self._adapter_of(row.connection)
            lag_s = adapter.listing_lag_s if self._listing_lag_s is None else self._listing_lag_s
            found = await self._free(await self._asked(adapter, row))
        except StoreUnavailable:
            raise
        except NotSupported:
            await self._later(row, MAX_WAIT_S, looks)
            return True
        except (ApiError, TimeoutError) as error:
            LOG.info("call %s could not be looked for: %s", row.id, getattr(error, "reason", "no answer in time"))
            await self._later(row, self._every_s, looks)
            return False
        looks += 1
        if len(found) > 1:
            LOG.warning("call %s may have come to any of %d: ResolveExportJob says which", row.id, len(found))
            await self._later(row, min(MAX_WAIT_S, self._every_s * 2.0 ** min(looks, 20)), looks)
        elif found and not await self._store.twins(row):
            await self._adopt(row, found[0], looks)
        elif found or looks < MIN_LOOKS or now < (row.unknown_at or now) + lag_s:
            await self._later(row, self._every_s, looks)
        elif await settling.give_up(self._store, self._ledger.known, row):
            LOG.warning("call %s was never submitted: nothing of it is at the vendor", row.id)
        return True

    async def _adopt(self, row: Row, found: Found, looks: int) -> None:
        try:
            if await settling.adopt(self._store, self._ledger.known, row, found):
                LOG.info("call %s came to %s", row.id, found.name)
        except AlreadyAdopted:
            await self._later(row, self._every_s, looks)

    async def _asked(self, adapter: Adapter[Any], row: Row) -> list[Any]:
        """Return what the vendor has that the call may have come to."""
        sent_at_s = row.created_at if row.sent_at is None else row.sent_at
        wanted = row.wanted or b""
        with calls.serving(calls.Call(asyncio.get_running_loop().time() + LOOK_S)):
            async with asyncio.timeout(LOOK_S):
                match row.kind:
                    case "Destination":
                        return await adapter.find_destinations(Destination.FromString(wanted), sent_at_s=sent_at_s)
                    case "Subscription":
                        _, destination_id = names.parse(row.parent, "Destination")
                        asked = Subscription.FromString(wanted)
                        return await adapter.find_subscriptions(destination_id, asked, sent_at_s=sent_at_s)
                    case "UploadedFile":
                        job = UploadedFile.FromString(wanted).export_job
                    case _:
                        job = ExportJob.FromString(wanted)
                return await adapter.find_export_jobs(job, marker=row.marker, sent_at_s=sent_at_s)

    async def _free(self, found: list[Any]) -> list[Found]:
        """Return what no other call came to."""
        taken = await self._store.adopted([one.name for one in found]) if found else {}
        return [one for one in found if one.name not in taken]

    async def _later(self, row: Row, wait_s: float, looks: int) -> None:
        next_look_at = self._store.now() + wait_s
        await self._store.looked(row.id, self._ledger.owner, looks=looks, next_look_at=next_look_at)
