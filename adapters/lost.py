"""Looking for what a lost write made: through a list that comes newest first, and far enough back.

A vendor's times may be in any zone and name none, and its clock may be off. So what carries a mark of ours is told by
that alone, and its time only says where the search may end.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from adapters.base import Page
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import ExportJob

T = TypeVar("T")

LOOK_BACK_S = 26 * 3600.0
"""How far behind our clock a vendor's times may be: no two zones are further apart."""
EARLIER_S = 300.0
"""The same where times are in a known zone, for what is told by its content and its time."""


async def newest(
    read: Callable[[str], Awaitable[Page[T]]], when: Callable[[T], Timestamp | None], sent_at_s: float
) -> list[T]:
    """Return the items of a list, newest first, to `LOOK_BACK_S` before *sent_at_s*; all, where they have no times."""
    found, cursor = list[T](), ""
    while True:
        page = await read(cursor)
        found += page.items
        times = [time.seconds for time in map(when, page.items) if time is not None]
        cursor = page.next_cursor
        if not cursor or (times and max(times) < sent_at_s - LOOK_BACK_S):
            return found


async def everything(read: Callable[[str], Awaitable[Page[T]]]) -> list[T]:
    """Return the whole of a list whose items have no times."""
    return await newest(read, lambda _: None, 0.0)


def created(resource: ExportJob | Destination) -> Timestamp | None:
    """Return when something was made, if that is known."""
    return resource.create_time if resource.HasField("create_time") else None


def is_since(time: Timestamp | None, sent_at_s: float) -> bool:
    """Tell whether something may have been made by a write of *sent_at_s*, as far as its time goes."""
    return time is None or time.seconds >= sent_at_s - EARLIER_S
