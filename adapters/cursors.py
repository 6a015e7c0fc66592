"""Places in a list, as a text that only the module which made it understands."""

from base64 import b64decode, urlsafe_b64encode
from typing import TypeVar

import msgspec

from adapters.errors import InvalidRequest

P = TypeVar("P", bound=msgspec.Struct)

VERSION = "1"


def pack(place: msgspec.Struct) -> str:
    """Return *place* as a cursor."""
    return VERSION + urlsafe_b64encode(msgspec.msgpack.encode(place)).rstrip(b"=").decode()


def unpack(cursor: str, kind: type[P]) -> P:
    """Return the place that *cursor* was made of.

    Raises:
        InvalidRequest: INVALID_PAGE_TOKEN, where it was made of none.
    """
    try:
        if not cursor.startswith(VERSION):
            raise ValueError(cursor)
        payload = b64decode(cursor[1:] + "=" * (-len(cursor[1:]) % 4), altchars=b"-_", validate=True)
        return msgspec.msgpack.decode(payload, type=kind)
    except ValueError as error:
        raise InvalidRequest("not a cursor of this list", reason="INVALID_PAGE_TOKEN") from error
