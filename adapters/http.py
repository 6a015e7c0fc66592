"""One base URL of one connection: REST calls with deadline, retry and credentials, and every failure named.

Nothing here knows a vendor. An adapter declares method, path, query, body and retry class of each call, and gets a
decoded wire struct or an error of `adapters.errors`. Redirects are never followed: they could carry a credential
elsewhere. Bodies are asked for as they are (identity), read up to a limit, and never logged.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from multidict import CIMultiDictProxy
from yarl import URL

from adapters import calls, names
from adapters.auth import Auth
from adapters.errors import (
    CredentialsRejected,
    DownloadInterrupted,
    Fault,
    NotFound,
    PermissionMissing,
    ProtocolViolation,
    VendorError,
    invalid_field,
)
from adapters.retry import LOSSES, Loss, Retry, again, kind_of_answer
from adapters.secrets import scrub
from adapters.transport import Transport

LOG = logging.getLogger(__name__)
T = TypeVar("T")
V = TypeVar("V", bound=VendorError)
Query = Sequence[tuple[str, str]]
ReadFault = Callable[[int, Mapping[str, str], bytes], Fault]
"""A vendor's reading of its own error answers: HTTP status, headers, body."""

MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_VENDOR_MESSAGE_CHARS = 256
ANSWER_MARGIN_S = 0.05
"""What a call keeps back of its deadline, so that the caller hears the reason and not only its own clock."""
_NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_BROKEN = (aiohttp.ClientError, OSError)
_ENCODER = msgspec.json.Encoder()


class Answer(NamedTuple):
    """A vendor's answer, read whole."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Stream:
    """A download under way."""

    headers: CIMultiDictProxy[str]
    size_bytes: int | None
    """Of the whole file; None where the vendor does not say."""
    chunks: AsyncIterator[bytes]
    """From the offset asked for to the end. Raises DownloadInterrupted."""

    @property
    def filename(self) -> str:
        """The name that the vendor gives the file, without any folder; empty where it gives none."""
        header = Message()
        header["Content-Disposition"] = self.headers.get("Content-Disposition", "").encode(errors="replace").decode()
        return re.split(r"[/\\]", header.get_filename() or "")[-1]


def route(template: str, *ids: str) -> str:
    """Return a path with each `{}` of *template* replaced by an id, escaped whole.

    Raises:
        InvalidRequest: INVALID_RESOURCE_NAME for an id that a server would take for a step in the path.
    """
    for text in ids:
        if text in {"", ".", ".."}:
            raise names.invalid_name(text, "Destination")
    return template.format(*(quote(text, safe="") for text in ids))


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Return the wait that `Retry-After` asks for, whether it gives seconds or a date; None where it says nothing."""
    text = headers.get("Retry-After", "").strip()
    try:
        return max(0.0, float(text) if text[:1].isdigit() else parsedate_to_datetime(text).timestamp() - now_s)
    except ValueError:
        return None


class Http:
    """Calls to one base URL, which may hold a path prefix."""

    def __init__(
        self,
        transport: Transport,
        base_url: str,
        *,
        auth: Auth,
        read_fault: ReadFault,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.transport = transport
        self.auth = auth
        self._base = base_url.rstrip("/") + "/"
        self._read_fault = read_fault
        self._headers = {**(headers or {})}

    async def get(
        self,
        path: str,
        reply: type[T],
        *,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        resource: str = "",
        permission: str = "",
    ) -> T:
        """Read *path*; *resource* is the full name that a 404 is about, *permission* what a 403 misses."""
        answer = await self.send(
            "GET", path, query=query, headers=headers, resource=resource, permission=permission, retry=Retry.READ
        )
        return self.decode(answer, reply)

    async def send(
        self,
        method: str,
        path: str,
        *,
        retry: Retry,
        query: Query = (),
        json: object = msgspec.UNSET,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        resource: str = "",
        conflict: str | None = None,
        permission: str = "",
    ) -> Answer:
        """Send one call, again as its retry class allows, and return the 2xx answer.

        *conflict* is the reason that a 409 stands for, *permission* what a 403 misses, in the vendor's words.

        Raises:
            VendorError: As `adapters.errors` draws it.
        """
        if json is not msgspec.UNSET:
            body = _ENCODER.encode(json)
            headers = {"Content-Type": "application/json", **(headers or {})}
        url = self._url(path, query)
        session = self.transport.fresh if retry is Retry.ONCE else self.transport.pooled

        async def once(given: Mapping[str, str], left_s: float) -> Answer:
            attempt_s = left_s if retry is Retry.ONCE else min(left_s, self.transport.timeouts.attempt_s)
            async with session.request(
                method,
                url,
                data=body,
                headers={**self._headers, **given, **(headers or {})},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=attempt_s, sock_connect=self.transport.timeouts.connect_s),
            ) as response:
                answer = await self._read(response)
            if answer.status < 300:  # noqa: PLR2004 - 2xx
                return answer
            raise self._refusal(answer, retry, resource, conflict, permission)

        return await self._attempts(once, retry)

    def decode(self, answer: Answer, reply: type[T]) -> T:
        """Return the body of *answer* as a wire type.

        Raises:
            ProtocolViolation: With the place in the JSON.
        """
        try:
            return msgspec.json.decode(answer.body, type=reply)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            content_type = answer.headers.get("Content-Type", "no content type")
            message = f"{self.transport.vendor} answered {answer.status} ({content_type}), not as documented: {error}"
            raise self.named(ProtocolViolation(message, fault=Fault(http_status=answer.status))) from None

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        offset: int = 0,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        resource: str = "",
        conflict: str | None = None,
        permission: str = "",
    ) -> AsyncIterator[Stream]:
        """Open a download at *offset* bytes: by Range where the vendor honours it, by skipping otherwise.

        Nothing is read ahead of the reader but a socket's buffer, and the whole has no end but the caller's deadline.
        """
        url = self._url(path, query)
        ranged = {"Range": f"bytes={offset}-"} if offset else {}
        timeouts = self.transport.timeouts

        async def once(given: Mapping[str, str], left_s: float) -> aiohttp.ClientResponse:
            response = await self.transport.pooled.get(
                url,
                headers={**self._headers, **given, **ranged, **(headers or {})},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=timeouts.connect_s, sock_read=min(left_s, timeouts.idle_s)
                ),
            )
            if response.status < 300:  # noqa: PLR2004 - 2xx
                return response
            async with response:
                answer = await self._read(response)
            if answer.status == 416:  # noqa: PLR2004 - the range can't be satisfied
                raise invalid_field("read_offset", "beyond the end of the file")
            raise self._refusal(answer, Retry.READ, resource, conflict, permission)

        response = await self._attempts(once, Retry.READ)
        try:
            start, size_bytes = self._extent(response, offset)
            if size_bytes is not None and offset > size_bytes:
                raise invalid_field("read_offset", f"beyond the end of the file, which has {size_bytes} bytes")
            yield Stream(response.headers, size_bytes, self._chunks(response, start, offset))
        finally:
            # Not release(): a reader that stopped early must not leave the vendor sending.
            response.close()

    def named(self, error: V) -> V:
        """Return *error* with the vendor and the connection on it."""
        error.vendor = self.transport.vendor
        error.connection = self.transport.connection
        return error

    def missing(self, resource: str, fault: Fault | None = None) -> NotFound:
        """Return the error for a *resource* (full name) that the vendor does not have."""
        return self.named(
            NotFound(
                f"{self.transport.vendor} has no {resource or 'such resource'}",
                fault=fault,
                reason=names.NOT_FOUND_REASONS[names.kind(resource)] if resource else None,
                resource=resource,
            )
        )

    def _url(self, path: str, query: Query) -> URL:
        text = self._base + path.lstrip("/")
        return URL(f"{text}?{urlencode(query, quote_via=quote)}" if query else text, encoded=True)

    async def _attempts(self, once: Callable[[Mapping[str, str], float], Awaitable[T]], retry: Retry) -> T:
        transport = self.transport
        clock = asyncio.get_running_loop().time
        call = calls.current()
        call.written = call.written or retry is not Retry.READ
        ends_at = call.ends_at()
        deadline = clock() + transport.timeouts.operation_s
        if ends_at is not None:
            deadline = min(deadline, ends_at - ANSWER_MARGIN_S)
        attempt, renewed = 0, False
        while True:
            given = await self._credentials(deadline)
            started = clock()
            if started >= deadline:
                raise self._lost(Loss.TIMEOUT, Retry.READ, "no time left")
            attempt += 1
            call.vendor_calls += 1
            try:
                return await self._named_losses(once(given, deadline - started), retry)
            except CredentialsRejected:
                if renewed or not await self.auth.renew(given):
                    raise
                renewed = True
            except VendorError as error:
                delay_s = transport.backoff.delay_s(error, attempt, transport.jitter())
                if attempt >= transport.backoff.attempts or not again(error, retry) or clock() + delay_s >= deadline:
                    raise
                LOG.info("connection %s: attempt %d failed: %s", transport.connection, attempt, error.reason)
                await transport.sleep(delay_s)
            finally:
                call.vendor_s += clock() - started

    async def _credentials(self, deadline: float) -> Mapping[str, str]:
        try:
            async with asyncio.timeout_at(deadline):
                return await self.auth.headers()
        except TimeoutError:
            raise self._lost(Loss.TIMEOUT, Retry.READ, "no token in time") from None

    async def _named_losses(self, attempt: Awaitable[T], retry: Retry) -> T:
        try:
            return await attempt
        # In this order: the first is a part of the last.
        except _NOT_SENT as error:
            raise self._lost(Loss.NOT_SENT, retry, type(error).__name__) from None
        except TimeoutError:
            raise self._lost(Loss.TIMEOUT, retry, "timeout") from None
        except _BROKEN as error:
            raise self._lost(Loss.BROKEN, retry, type(error).__name__) from None

    def _lost(self, loss: Loss, retry: Retry, why: str) -> VendorError:
        return self.named(LOSSES[loss][retry](f"{self.transport.vendor}: {loss.value} ({why})"))

    async def _read(self, response: aiohttp.ClientResponse) -> Answer:
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > MAX_ANSWER_BYTES:
                message = f"{self.transport.vendor} answered with more than {MAX_ANSWER_BYTES} bytes"
                raise self.named(ProtocolViolation(message, fault=Fault(http_status=response.status)))
            chunks.append(chunk)
        return Answer(response.status, response.headers, b"".join(chunks))

    def _refusal(
        self, answer: Answer, retry: Retry, resource: str, conflict: str | None, permission: str
    ) -> VendorError:
        fault = self._read_fault(answer.status, answer.headers, answer.body)
        wait_s = fault.retry_after_s
        fault = replace(
            fault,
            http_status=answer.status,
            message=scrub(fault.message, self.auth.secrets())[:MAX_VENDOR_MESSAGE_CHARS],
            retry_after_s=retry_after_s(answer.headers, self.transport.now()) if wait_s is None else wait_s,
        )
        kind = fault.kind or kind_of_answer(answer.status, retry)
        if kind is NotFound:
            return self.missing(resource, fault)
        reason = conflict if answer.status == 409 else None  # noqa: PLR2004 - conflict
        metadata = {"permission": permission} if permission and kind is PermissionMissing else {}
        message = f"{self.transport.vendor} answered {answer.status}"
        return self.named(kind(message, fault=fault, reason=reason, metadata=metadata, resource=resource))

    def _extent(self, response: aiohttp.ClientResponse, offset: int) -> tuple[int, int | None]:
        """Return where in the file the body of *response* begins, and the size of the file."""
        length = response.content_length
        if response.status != 206:  # noqa: PLR2004 - partial content
            return 0, length
        start, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if start.partition("-")[0] != str(offset):
            message = f"{self.transport.vendor} answered another range than the one asked for"
            raise self.named(ProtocolViolation(message, fault=Fault(http_status=206)))
        return offset, int(total) if total.isdecimal() else None

    async def _chunks(self, response: aiohttp.ClientResponse, position: int, offset: int) -> AsyncIterator[bytes]:
        try:
            async for chunk in response.content.iter_any():
                start, position = position, position + len(chunk)
                if position > offset:
                    yield chunk[max(0, offset - start) :]
        except (*_BROKEN, TimeoutError) as error:
            at = str(max(position, offset))
            message = f"{self.transport.vendor} broke off at byte {at} ({type(error).__name__})"
            raise self.named(DownloadInterrupted(message, metadata={"offset": at})) from None
