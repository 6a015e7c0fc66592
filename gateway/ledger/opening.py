"""The ledger of a process, as the configuration wants it."""

import logging
from typing import NamedTuple

from adapters.errors import StoreUnavailable
from gateway.connections import Connections
from gateway.ledger.configured import open_store
from gateway.ledger.engine import MEMORY
from gateway.ledger.ledger import Ledger
from gateway.ledger.reconciler import Reconciler
from gateway.ledger.upkeep import Upkeep
from gateway.settings import LedgerSettings

LOG = logging.getLogger(__name__)


class Opened(NamedTuple):
    """A ledger, and what goes on around it."""

    ledger: Ledger
    upkeep: Upkeep

    async def start(self) -> None:
        """Open the store and begin; a store that is not there yet keeps nobody from reading."""
        store = self.ledger.store
        if store.url == MEMORY:
            LOG.warning("the ledger is in memory: it keeps nothing, and a repeated request after a restart runs again")
        else:
            try:
                await store.open()
            except StoreUnavailable as error:
                LOG.warning("%s: nothing is written to a vendor until it answers", error.message)
        self.upkeep.start()

    async def stop(self) -> None:
        """Let writes end that callers left behind, record them, and close the store."""
        await self.upkeep.stop()
        await self.ledger.close()


def open_ledger(settings: LedgerSettings, connections: Connections) -> Opened:
    """Return the ledger over the store that the configuration wants."""
    ledger = Ledger(open_store(settings), lease_s=settings.lease_s)
    reconciler = Reconciler(
        ledger,
        lambda connection: connections.get(connection).adapter,
        every_s=settings.reconcile_every_s,
        listing_lag_s=settings.listing_lag_s,
    )
    upkeep = Upkeep(
        ledger,
        reconciler,
        every_s=settings.reconcile_every_s,
        ids_days=settings.request_id_days,
        jobs_days=settings.job_days,
    )
    return Opened(ledger, upkeep)
