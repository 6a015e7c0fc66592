"""Acme over REST.

Docs:   https://docs.acme.example (read 2000-01-01)
Auth:   `Authorization: Bearer`: a fixed token.
Paging: none that is known.
Limits: none that are known.
"""

from adapters.acme import translate
from adapters.auth import FixedAuth
from adapters.base import Adapter, ConnectionSettings
from adapters.http import Http
from adapters.retry import Retry
from adapters.secrets import Secret
from adapters.transport import Transport

RETRIES = {"GET": Retry.READ, "PATCH": Retry.IDEMPOTENT, "DELETE": Retry.IDEMPOTENT, "POST": Retry.ONCE}


class AcmeSettings(ConnectionSettings, kw_only=True, frozen=True):
    """A connection to one account at Acme."""

    base_url: str
    """The API with its whole path."""
    token: Secret
    """What proves to Acme who calls."""


class AcmeAdapter(Adapter[AcmeSettings]):
    """One account at Acme."""

    vendor = "acme"
    Settings = AcmeSettings
    sandbox = "adapters.acme.sandbox:AcmeSandbox"

    def __init__(self, connection: str, settings: AcmeSettings, transport: Transport) -> None:
        super().__init__(connection, settings, transport)
        auth = FixedAuth({"Authorization": f"Bearer {settings.token.reveal()}"}, settings.token)
        self.http = Http(transport, settings.base_url, auth=auth, read_fault=translate.fault)
