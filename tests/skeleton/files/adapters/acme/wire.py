"""What Acme takes and sends: its operations, and the JSON of their answers.

https://docs.acme.example. Keys that it does not promise are optional here.
"""

from typing import Generic, NamedTuple, TypeVar

import msgspec

T_co = TypeVar("T_co", covariant=True)


class Error(msgspec.Struct):
    """What an error answers."""

    message: str | None = None


class Operation(NamedTuple, Generic[T_co]):
    """One documented call."""

    method: str
    path: str
    reply: type[T_co]
