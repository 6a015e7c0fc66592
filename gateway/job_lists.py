"""Lists of export jobs: the vendor's, with those that only the ledger has; or, of those started here, the ledger's."""

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from adapters import names
from adapters.base import Adapter, ListQuery, Page, Term
from adapters.errors import NotFound
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway.ledger import lost
from gateway.ledger.known import position
from gateway.ledger.ledger import Ledger
from gateway.ledger.store import Row
from gateway.lists import Fetch, Way

STARTED_HERE = {("=", "true"), ("!=", "false")}
MAX_ROWS = 50
"""Of a page: each is a call to the vendor."""
AT_ONCE = 8
THE_NEWEST = (1e15, "")
"""Before which all rows are."""


def way(ledger: Ledger, terms: Iterable[Term]) -> Way[ExportJob]:
    """Return how jobs are listed that satisfy *terms*."""
    started = any(term.field == "started_by_gateway" and (term.op, term.value) in STARTED_HERE for term in terms)
    if started:
        return Way("get_export_job", lambda adapter: partial(_started, ledger, adapter), needs_filter=False)
    return Way("list_export_jobs", lambda adapter: _with_lost(ledger, adapter))


def _with_lost(ledger: Ledger, adapter: Adapter[Any]) -> Fetch[ExportJob]:
    """Return the vendor's list with the jobs of the ledger's that are none of the vendor's, or not yet, at its new end.

    A cursor into the vendor's part begins with `v`, one into the other with `g`.
    """

    async def fetch(query: ListQuery, cursor: str, size: int) -> Page[ExportJob]:
        newest_first = not query.order_by or query.descending
        if cursor.startswith("g") or (newest_first and not cursor):
            at, _, row_id = cursor[1:].partition(" ")
            beyond = (int(at), row_id) if at else None
            here = ledger.known.jobs(adapter.connection, size + 1, beyond=beyond, newest_first=newest_first)
            if len(here) > size:
                return Page(here[:size], "g{} {}".format(*position(here[size - 1])))
            if here or not newest_first:
                return Page(here, "v" if newest_first else "")
            cursor = "v"
        page: Page[ExportJob] = await adapter.list_export_jobs(query, cursor[1:], size)
        last = "" if newest_first or not ledger.known.jobs(adapter.connection, 1) else "g"
        return Page(page.items, f"v{page.next_cursor}" if page.next_cursor else last)

    return fetch


async def _started(ledger: Ledger, adapter: Adapter[Any], query: ListQuery, cursor: str, size: int) -> Page[ExportJob]:
    """Return the jobs that were started here, newest first, each as the vendor has it now."""
    at, _, row_id = cursor.partition(" ")
    before = (float(at), row_id) if cursor else THE_NEWEST
    limit = min(size, MAX_ROWS)
    rows = await ledger.store.started(adapter.connection, before, limit)
    jobs = await _each(adapter, rows, full=query.full)
    following = f"{rows[-1].created_at!r} {rows[-1].id}" if len(rows) == limit else ""
    return Page(jobs, following)


async def _each(adapter: Adapter[Any], rows: Sequence[Row], *, full: bool) -> list[ExportJob]:
    """Return the jobs of *rows*; what the vendor has no more is left out."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(row: Row) -> ExportJob | None:
        if row.resource is None:
            return lost.job(row)
        _, job_id = names.parse(row.resource, "ExportJob")
        async with turns:
            try:
                job: ExportJob = await adapter.get_export_job(job_id, full=full)
            except NotFound:
                return None
        job.started_by_gateway = True
        return job

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(row)) for row in rows]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [job for task in tasks if (job := task.result())]
