"""What the keys of a connection may hold, beside their types: a mistake is told with its key, and shows no value."""

import ipaddress
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit


class Must(NamedTuple):
    """Beside a type in `Annotated`: what holds for its values."""

    wanted: str
    """Completes "must be …"."""
    holds: Callable[[Any], bool]


def is_address(text: str) -> bool:
    """Tell whether *text* is an address that paths can be added to."""
    try:
        url = urlsplit(text)
        # Reading a port that is none raises.
        whole = url.hostname and url.port != 0
    except ValueError:
        return False
    return bool(whole and url.scheme in {"http", "https"} and not (url.query or url.fragment or url.username))


def is_in_clear(address: str) -> bool:
    """Tell whether calls to *address* could be read on their way: http, to any machine but this one."""
    url = urlsplit(address)
    host = url.hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    return url.scheme == "http" and not local


ADDRESS = Must("an address such as https://api.example.com/v1", is_address)
Address = Annotated[str, ADDRESS]
"""Where a vendor is. http goes to this machine alone, unless the connection allows it."""
Word = Annotated[
    str, Must("a text without blanks", lambda text: text.isascii() and text.isprintable() and text and " " not in text)
]
Digits = Annotated[str, Must("digits, as text", lambda text: text.isascii() and text.isdecimal())]
