"""What makes a mutating call happen once: its request_id, and what became of it.

`memory` forgets with the process; a durable ledger keeps the same promise over crashes and replicas.
"""

import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message

T = TypeVar("T", bound=Message)

MAX_WRITE_S = 60.0
"""How long a write may go on after its caller has left."""


@dataclass(frozen=True, slots=True)
class Key:
    """Within what a request_id is unique."""

    caller: str
    method: str
    parent: str
    request_id: str
    """Empty: the call can't be recognized when it comes again."""


def fingerprint(request: Message) -> bytes:
    """Return the SHA-256 of a request without its request_id."""
    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField("request_id")
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).digest()


class Ledger(Protocol):
    """Runs mutating calls, each of them once."""

    async def once(
        self, key: Key, wanted: bytes, act: Callable[[str], Coroutine[Any, Any, T]], *, max_write_s: float = MAX_WRITE_S
    ) -> T:
        """Return what *act* returns, or what it returned when the same call came before.

        *wanted* is the fingerprint of what is asked for. *act* gets a marker for the vendor to keep, unique to this
        call. Once it has handed a write to the vendor it is not cut off when the caller goes away: it ends by itself,
        *max_write_s* later at most, and its result waits for the caller's next try.

        Raises:
            InvalidRequest: REQUEST_ID_REUSED, where the id came with another request before.
            Aborted: REQUEST_IN_PROGRESS, where the same call is still under way.
            ApiError: As *act* does; what the vendor certainly refused is raised again for the same id.
        """
        ...

    def results(self, key: Key, kind: type[T]) -> list[T]:
        """Return what calls came to whose key is *key* but for an ending of its request_id, as far as they did."""
        ...

    def started(self, export_job: str) -> bool:
        """Tell whether the gateway started the job of this name, as far as the ledger remembers."""
        ...

    async def close(self) -> None:
        """Wait for the writes under way."""
        ...
