"""The store that the configuration wants."""

from pathlib import Path

from gateway.ledger.engine import MEMORY, in_file, on_server
from gateway.ledger.store import Store
from gateway.settings import LedgerSettings

FILE = "ledger.sqlite"


def open_store(settings: LedgerSettings) -> Store:
    """Return the store that the configuration wants; it is opened when it is first needed."""
    url = MEMORY
    if settings.url is not None:
        url = on_server(settings.url.reveal())
    elif settings.store != "memory":
        url = in_file(Path(settings.directory) / FILE)
    return Store(url, timeout_s=settings.timeout_s, max_write_s=settings.max_write_s)
