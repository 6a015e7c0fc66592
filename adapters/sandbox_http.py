"""One HTTP exchange with a simulator: the call, the reply, which handler is asked, and what the journal keeps."""

import asyncio
import base64
import codecs
import itertools
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from adapters.sandbox_world import Token

T = TypeVar("T")

JOURNAL_BODY_BYTES = 64 * 1024


@dataclass
class Reply:
    """An answer, whole before it is sent. Without a Content-Type in `headers` none is sent."""

    body: bytes | Iterable[bytes] = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    """Bytes of an iterable body; None sends it chunked. Not needed where the body is bytes."""


NO_BODY = object()
GONE = (web.RequestPayloadError, ConnectionError)
"""What reading a body raises where the client went away on the way."""


class ApiError(Exception):
    """Ends a handler with the vendor's error answer; *body* becomes JSON, and without one nothing is sent."""

    def __init__(self, status: int, body: object = NO_BODY, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.status, self.body, self.headers = status, body, dict(headers or {})


class Invalid(Exception):
    """A request that any server would refuse; answered as `Sandbox.error(400, message)`."""


class TooLarge(Exception):
    """A body beyond `Sandbox.max_body_bytes`; answered as `Sandbox.error(413)`."""


def json_reply(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Answer *data* as application/json, unless *headers* give another Content-Type."""
    return Reply(json_bytes(data), status, {"Content-Type": "application/json", **(headers or {})})


def json_bytes(data: object) -> bytes:
    """Return *data* as JSON."""
    # A header may be repeated, and its bytes need not be text.
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


class Call:
    """One request: its query and headers are those of `request`. Whole, unless its route is `Sandbox.streamed`."""

    def __init__(self, request: web.Request, max_body_bytes: int) -> None:
        self.request = request
        self.method = request.method
        self.path, _, self.query_string = request.raw_path.partition("?")
        self.query, self.headers = request.query, request.headers
        self.route = ""
        """The key of `Sandbox.routes` that matched; empty for an unknown path or method."""
        self.params: dict[str, str] = {}
        """The `{names}` of the route, decoded."""
        self.body = bytearray()
        """Empty for a streamed route, whose handler reads the body by `piece`."""
        self.head = bytearray()
        """What the journal shows of the body."""
        self.body_bytes = request.content_length or 0
        """How long the body is, as announced or as far as it was read."""
        self.token: Token | None = None
        """For `Sandbox.authorize` to set."""
        self._max_body_bytes = max_body_bytes
        self._read_bytes = 0

    async def piece(self) -> bytes:
        """Read the next piece of the body; empty at its end. Raises: TooLarge, or what `GONE` has."""
        if self.body_bytes > self._max_body_bytes:
            raise TooLarge
        piece = await self.request.content.readany()
        self._read_bytes += len(piece)
        self.body_bytes = max(self.body_bytes, self._read_bytes)
        self.head += piece[: JOURNAL_BODY_BYTES - len(self.head)]
        return piece

    def json(self) -> Any:  # noqa: ANN401 - whatever the client sent
        """Decode the body. Raises: Invalid."""
        try:
            value = json.loads(self.body)
            # Python also takes NaN, numbers beyond a double and lone surrogates, which no answer could repeat.
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError) as error:
            raise Invalid("The request body is not valid JSON") from error
        return value

    def integer(self, name: str, default: T, minimum: int = 0, maximum: int | None = None) -> int | T:
        """Return the query parameter as a number, *default* where it is absent. Raises: Invalid."""
        text = self.query.get(name)
        if text is None:
            return default
        number = int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else None
        if number is None or number < minimum or (maximum is not None and number > maximum):
            bounds = f"at least {minimum}" if maximum is None else f"{minimum} to {maximum}"
            raise Invalid(f"{name} must be a whole number, {bounds}")
        return number


Handler = Callable[[Call], Reply | Awaitable[Reply]]


class Routes:
    """Handlers by method and path template; a literal part wins over a `{name}`."""

    def __init__(self, routes: Mapping[str, Handler]) -> None:
        self._handlers: dict[tuple[str, ...], dict[str, Handler]] = {}
        for route, handler in routes.items():
            method, path = route.split(" ")
            self._handlers.setdefault(tuple(path.split("/")), {})[method] = handler
        self._templates = sorted(self._handlers, key=lambda parts: [part.startswith("{") for part in parts])

    def find(self, path: str) -> tuple[str, dict[str, Handler], dict[str, str]]:
        """Return the template that the raw *path* matches, its handlers by method, and the decoded parameters."""
        parts = [unquote(part) for part in path.split("/")]
        for template in self._templates:
            pairs = list(zip(template, parts, strict=False))
            if len(template) == len(parts) and all(
                (value != "") if name.startswith("{") else name == value for name, value in pairs
            ):
                params = {name[1:-1]: value for name, value in pairs if name.startswith("{")}
                return "/".join(template), self._handlers[template], params
        return "", {}, {}


class Answer(web.StreamResponse):
    """What `send` sends."""

    bare = False
    """No Content-Type was given, and aiohttp shall not invent one."""


async def strip_content_type(_request: web.Request, response: web.StreamResponse) -> None:
    """Undo aiohttp's default Content-Type; for `on_response_prepare`."""
    if isinstance(response, Answer) and response.bare:
        response.headers.popall("Content-Type", None)


async def send(
    request: web.Request, reply: Reply, *, truncate: bool = False, trickle_s: float = 0.0
) -> web.StreamResponse:
    """Send the reply; truncated, all of its headers and half of its body, after which the connection closes."""
    response = Answer(status=reply.status, headers=reply.headers)
    response.bare = "Content-Type" not in response.headers
    chunks, length = ([reply.body], len(reply.body)) if isinstance(reply.body, bytes) else (reply.body, reply.length)
    if length is not None:
        response.content_length = length
    await response.prepare(request)
    if request.method == "HEAD" or length == 0:
        return response
    left = length // 2 if truncate and length is not None else None
    for chunk in await _byte_by_byte(response, chunks, trickle_s) if trickle_s else chunks:
        await response.write(chunk[:left])
        if left is not None:
            left -= min(left, len(chunk))
        # Of a body whose length nobody knows, "half" is its first chunk.
        if truncate and not left:
            break
    if truncate and request.transport:
        request.transport.close()
    return response


async def _byte_by_byte(response: Answer, chunks: Iterable[bytes], trickle_s: float) -> list[bytes]:
    """Send it all, and return that nothing is left."""
    for byte in itertools.chain.from_iterable(chunks):
        await asyncio.sleep(trickle_s)
        await response.write(bytes([byte]))
    return []


def hang_up(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer; aiohttp wants a response all the same."""
    if request.transport:
        request.transport.abort()
    return web.Response()


def error_reply(error: ApiError) -> Reply:
    """Turn the exception into its answer."""
    if error.body is NO_BODY:
        return Reply(status=error.status, headers=error.headers)
    return json_reply(error.body, error.status, error.headers)


def journal_entry(call: Call) -> dict[str, Any]:
    """Describe the request as received; see `Sandbox.journal`."""
    headers: dict[str, str] = {}
    for name, value in call.headers.items():
        known = next((key for key in headers if key.lower() == name.lower()), None)
        headers[known or name] = f"{headers[known]}, {value}" if known else value
    return {
        "method": call.method,
        "path": call.path,
        "query_string": call.query_string,
        "query": [list(pair) for pair in parse_qsl(call.query_string, keep_blank_values=True)],
        "headers": headers,
        "body": "",
        "body_bytes": 0,
        "accepted": False,
        "status": None,
    }


def journal_body(call: Call) -> dict[str, Any]:
    """Describe the body, as far as it was read and cut, as text where it is UTF-8."""
    head, shown = bytes(call.head), {"body_bytes": call.body_bytes}
    try:
        # Not final: the cut may go through a character.
        is_whole = call.body_bytes == len(head)
        return shown | {"body": codecs.getincrementaldecoder("utf-8")().decode(head, final=is_whole)}
    except UnicodeDecodeError:
        return shown | {"body": "", "body_base64": base64.b64encode(head).decode()}
