"""The store that the configuration wants."""

from pathlib import Path

from gateway.ledger.engine import in_file, on_server
from gateway.ledger.store import Store
from gateway.settings import LedgerSettings

FILE = "ledger.sqlite"


def open_store(settings: LedgerSettings) -> Store:
    """Return the store that the configuration wants; it is opened when it is first needed."""
    if settings.store == "memory":
        return Store(timeout_s=settings.timeout_s)
    if settings.url is not None:
        return Store(on_server(settings.url.reveal()), timeout_s=settings.timeout_s)
    return Store(in_file(Path(settings.directory) / FILE), timeout_s=settings.timeout_s)
