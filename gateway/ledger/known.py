"""What reads need to know of the ledger's rows, at hand: no read of a vendor's job waits for the store."""

from collections import OrderedDict
from hashlib import blake2b
from operator import itemgetter
from typing import TypeVar

from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway.ledger import lost
from gateway.ledger.store import Row

K = TypeVar("K")
V = TypeVar("V")
Position = tuple[int, str]
"""When a job was asked for, in milliseconds since the epoch, and the id of its row."""

MAX_STARTED = 200_000
"""Jobs that are known as started here, the newest: about 20 MiB."""
MAX_LOST = 10_000
"""Jobs with a `g~…` name."""


class Known:
    """The newest jobs of the ledger, as this process has heard of them: of its own at once, of others' soon."""

    def __init__(self, max_started: int = MAX_STARTED, max_lost: int = MAX_LOST) -> None:
        self._max_started, self._max_lost = max_started, max_lost
        self._started: OrderedDict[bytes, None] = OrderedDict()
        self._aliases: OrderedDict[str, str] = OrderedDict()
        """From a vendor's job to the `g~…` name that it had."""
        self._lost: OrderedDict[str, Row] = OrderedDict()
        """Without a vendor's job: unresolved, or never submitted."""

    def started(self, *names: str, newest: bool = True) -> None:
        """Note that jobs were started here, the newest of all first; or, before what is known already."""
        for name in reversed(names) if newest else names:
            if newest:
                _enter(self._started, _digest(name), None, self._max_started)
            elif len(self._started) < self._max_started and (key := _digest(name)) not in self._started:
                self._started[key] = None
                self._started.move_to_end(key, last=False)

    def lost(self, row: Row) -> None:
        """Note what became of a call whose answer was lost."""
        self._lost.pop(row.id, None)
        if row.resource is None:
            _enter(self._lost, row.id, row, self._max_lost)
        else:
            self.started(row.resource)
            _enter(self._aliases, row.resource, lost.alias(row), self._max_lost)

    def put_on(self, job: ExportJob) -> None:
        """Put on a vendor's job what the ledger knows of it."""
        job.started_by_gateway = job.started_by_gateway or _digest(job.name) in self._started
        job.alias = self._aliases.get(job.name, "")

    def forget(self, settled_before: float) -> None:
        """Leave out what was settled before that, as the store does."""
        for row in [row for row in self._lost.values() if (row.settled_at or settled_before) < settled_before]:
            del self._lost[row.id]

    def jobs(
        self, connection: str, limit: int = MAX_LOST, *, beyond: Position | None = None, newest_first: bool = True
    ) -> list[ExportJob]:
        """Return the jobs of a connection that have no vendor's id, from *beyond* a position on."""
        rows = sorted(
            ((_position(row), row) for row in self._lost.values() if row.connection == connection),
            key=itemgetter(0),
            reverse=newest_first,
        )
        if beyond is not None:
            rows = [(at, row) for at, row in rows if (at < beyond if newest_first else at > beyond)]
        return [lost.job(row) for _, row in rows[:limit]]


def position(job: ExportJob) -> Position:
    """Return where a job without a vendor's id stands among its like."""
    return job.create_time.ToMilliseconds(), job.name.rpartition(lost.ALIAS)[2]


def _position(row: Row) -> Position:
    return int(row.created_at * 1000), row.id


def _enter(known: OrderedDict[K, V], key: K, value: V, room: int) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > room:
        known.popitem(last=False)


def _digest(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=16).digest()
