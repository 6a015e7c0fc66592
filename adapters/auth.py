"""Credentials on their way to the vendor: fixed, or fetched and kept until shortly before they end."""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from adapters.errors import CredentialsRejected
from adapters.secrets import Secret

LOG = logging.getLogger(__name__)

PAUSE_S = 1.0
"""After a renewal, and after a fetch that failed while a token still serves: then it doubles, up to `MAX_PAUSE_S`."""
MAX_PAUSE_S = 60.0


class Auth(Protocol):
    """What the outbound side needs to know of credentials."""

    def ready(self) -> Mapping[str, str] | None:
        """Return the headers that prove who calls, where they are there already and good for a while."""
        ...

    async def headers(self) -> Mapping[str, str]:
        """Return the headers that prove who calls."""
        ...

    async def renew(self, refused: Mapping[str, str]) -> bool:
        """Replace *refused* headers after a 401; tell whether there is something else to try now."""
        ...

    def secrets(self) -> tuple[Secret, ...]:
        """Return what must not show in any text."""
        ...


class FixedAuth:
    """The same headers on every call."""

    def __init__(self, headers: Mapping[str, str], *secrets: Secret) -> None:
        self._headers = dict(headers)
        self._secrets = secrets

    def ready(self) -> Mapping[str, str]:
        """Return the fixed headers."""
        return self._headers

    async def headers(self) -> Mapping[str, str]:
        """Return the fixed headers."""
        return self._headers

    async def renew(self, refused: Mapping[str, str]) -> bool:
        """Return False: there is nothing to renew."""
        return False

    def secrets(self) -> tuple[Secret, ...]:
        """Return the secrets inside the headers."""
        return self._secrets


@dataclass(frozen=True, slots=True)
class Token:
    """A credential with an end."""

    secret: Secret
    expires_at_s: float
    """Epoch seconds."""


class TokenAuth:
    """A token that is fetched when needed: once, however many calls wait for it.

    Within *margin_s* of its end the present token still serves while the next one is fetched; one that lives shorter
    than twice that, in the second half of its life. If that fails, it is tried again after a pause.
    """

    def __init__(
        self,
        fetch: Callable[[Token | None], Awaitable[Token]],
        headers: Callable[[str], Mapping[str, str]],
        *secrets: Secret,
        now: Callable[[], float],
        margin_s: float = 300.0,
    ) -> None:
        self._fetch = fetch
        self._format = headers
        self._given = secrets
        self._now = now
        self._margin_s = margin_s
        self._token: Token | None = None
        self._retired: tuple[Secret, ...] = ()
        self._refresh_at_s = 0.0
        self._pause_s = PAUSE_S
        self._renewed_at_s = 0.0
        self._headers: Mapping[str, str] = {}
        self._fetching: asyncio.Task[None] | None = None

    @property
    def expires_at_s(self) -> float | None:
        """The end of the present token, in epoch seconds; None before the first one."""
        return self._token.expires_at_s if self._token else None

    def ready(self) -> Mapping[str, str] | None:
        """Return headers with the present token, while no other is wanted."""
        return self._headers if self._token is not None and self._now() < self._refresh_at_s else None

    async def headers(self) -> Mapping[str, str]:
        """Return headers with a token that is valid now.

        Raises:
            VendorError: as the fetch does; every waiting call gets it, and none is remembered.
        """
        now_s = self._now()
        if self._token is None or now_s >= self._refresh_at_s:
            fetching = self._start()
            if self._token is None or now_s >= self._token.expires_at_s:
                await asyncio.shield(fetching)
        return self._headers

    async def renew(self, refused: Mapping[str, str]) -> bool:
        """Fetch a new token, unless another call has done so since *refused* were handed out.

        A vendor that refuses what it has just given, or gives none, would do so again: it is not asked for `PAUSE_S`.
        """
        if refused is not self._headers:
            return True
        # The clock may be set back.
        if self._fetching is None and 0 <= self._now() - self._renewed_at_s < PAUSE_S:
            return False
        try:
            await asyncio.shield(self._start())
        except CredentialsRejected:
            self._renewed_at_s = self._now()
            raise
        self._renewed_at_s = self._now()
        return True

    def secrets(self) -> tuple[Secret, ...]:
        """Return the credentials, the present token and the one before, which may still be under way."""
        return (*self._given, *self._retired, *([self._token.secret] if self._token else []))

    def _start(self) -> asyncio.Task[None]:
        if self._fetching is None:
            # A context of its own: the fetch serves all waiting calls, so no single one's deadline may end it.
            task = asyncio.get_running_loop().create_task(self._replace(), context=contextvars.Context())
            task.add_done_callback(self._done)
            self._fetching = task
        return self._fetching

    async def _replace(self) -> None:
        token = await self._fetch(self._token)
        left_s = token.expires_at_s - self._now()
        self._refresh_at_s = token.expires_at_s - min(self._margin_s, left_s / 2)
        self._pause_s = PAUSE_S
        self._retired = (self._token.secret,) if self._token else ()
        self._token = token
        self._headers = self._format(token.secret.reveal())

    def _done(self, task: asyncio.Task[None]) -> None:
        self._fetching = None
        if not task.cancelled() and (error := task.exception()):
            LOG.warning("token not renewed: %s", type(error).__name__)
            if self._token is not None:
                # Otherwise every call would ask anew, of a vendor that has enough to do.
                pause_ends_s = self._now() + self._pause_s
                self._refresh_at_s = min(self._token.expires_at_s, max(self._refresh_at_s, pause_ends_s))
                self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)
