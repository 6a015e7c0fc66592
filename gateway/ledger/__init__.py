"""What makes a mutating call happen once: its request_id, and what became of it, kept longer than the process lives."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from google.protobuf.message import Message

T = TypeVar("T", bound=Message)

MAX_WRITE_S = 60.0
"""How long a write may go on, whether or not its caller has left."""
FILE_FACTOR = 10.0
"""So many times as long, where it is a file of members."""


@dataclass(frozen=True, slots=True)
class Key:
    """Within what a request_id is unique."""

    caller: str
    method: str
    parent: str
    request_id: str
    """Empty: the call can't be recognized when it comes again."""

    @property
    def scope(self) -> bytes | None:
        """A digest of all four; None without a request id."""
        whole = f"{self.caller}\n{self.method}\n{self.parent}\n{self.request_id}"
        return hashlib.sha256(whole.encode()).digest() if self.request_id else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Generic[T]):
    """A mutating call, as the ledger needs to know it."""

    key: Key
    connection: str
    fingerprint: bytes
    """Of what is asked for: the same request id with another one is refused."""
    kind: type[T]
    """What it comes to."""
    wanted: T | None = None
    """What it asks for, as far as it is kept to look for it where the answer is lost. None: it may be made again."""
    place: int = 0
    """Which of several calls under one request id; of a file of members, the index of its first."""

    @property
    def sealed(self) -> bytes:
        """The fingerprint under the request id, which is not kept: who reads the store can't tell members by trying."""
        return hmac.digest(self.key.request_id.encode(), self.fingerprint, "sha256") if self.key.request_id else b""


class Outcome(NamedTuple, Generic[T]):
    """What a call came to."""

    result: T
    earlier: bool
    """Whether that was some time ago, and is to be read anew."""


def fingerprint(request: Message) -> bytes:
    """Return the SHA-256 of a request without its request_id."""
    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField("request_id")
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).digest()
