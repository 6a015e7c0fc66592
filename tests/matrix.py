"""Writes what each vendor can do into README.md and protos/matrix.md: `make matrix`.

All of it is from the code, but for the level of support, which is from the record of what passed (`record.py`).
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

from adapters import registry
from adapters.base import Adapter, Limits, Listing
from adapters.errors import (
    BY_STATUS,
    Conflict,
    Fault,
    NotFound,
    OutcomeUnknown,
    ProtocolViolation,
    VendorError,
)
from adapters.retry import LOSSES, Loss, Retry, again, kind_of_answer
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway.desk import VERBS
from gateway.errors import CODES, RETRY_AFTER_S
from gateway.filtering import DESTINATION_FIELDS, EXPORT_JOB_FIELDS
from gateway.methods import METHODS
from tests.record import Outcome, Record, level, load, stormy
from tests.weather.cells import ANSWERED_HERE

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- matrix: made by `make matrix` -->", "<!-- matrix: end -->"
LISTS = {
    "destinations": DESTINATION_FIELDS,
    "export_jobs": EXPORT_JOB_FIELDS,
    "subscriptions": {},
    "log_entries": {},
    "revisions": {},
}
POLLED = {"WaitExportJob", "WatchExportJob"}

DETAILS = README.parent / "protos" / "matrix.md"
DETAILS_HEAD = """# What each vendor can do, in full

Made by `make matrix`, from the code; do not edit. Which RPC a vendor has is in the project's `README.md`.
"""
CLASSES = {
    Retry.READ: "read",
    Retry.IDEMPOTENT: "write that may be sent twice",
    Retry.ONCE: "write that may not",
}
SEVERAL: dict[type[VendorError], str] = {
    NotFound: "`*_NOT_FOUND`",
    Conflict: "`VENDOR_CONFLICT`, or what the call means",
}
OTHERS = ((400, "other 4xx"), (500, "other 5xx"))
CAUSES = """Where a job has been asked for, `OUTCOME_UNKNOWN` is no error: the job is answered, in that state and under
a name of the gateway's. A vendor's own code in an answer may say more than its status does, as its README tells."""
SUPPORT = """full: every conformance test passed but for those of what the vendor can't have, counted below, and so did
every cell of bad weather (`tests/weather/README.md`); partial: not all did; not tried: there is no record of it."""

Adapters = dict[str, type[Adapter[Any]]]


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    columns = list(head)
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _cell(adapter: type[Adapter[Any]], rpc: str, verb: str) -> str:
    if rpc in ANSWERED_HERE:
        return "here"
    if verb not in adapter.verbs():
        return "-"
    return "emulated" if rpc in POLLED or verb in adapter.emulated else "✓"


def _rpcs(vendors: Adapters) -> Iterator[Iterable[str]]:
    for method in METHODS.values():
        verb = VERBS.get(method.verb, method.verb)
        yield [method.name, *(_cell(adapter, method.name, verb) for adapter in vendors.values())]


def _filter_cell(listing: Listing, field: str) -> str:
    if field == listing.required_filter:
        return "required"
    return "native" if field in listing.native_filters else "here"


def _filters(vendors: Adapters) -> Iterator[Iterable[str]]:
    for name, filtered in LISTS.items():
        listings = [getattr(adapter, name) for adapter in vendors.values()]
        for field in filtered:
            yield [f"{name}: `{field}`", *(_filter_cell(listing, field) for listing in listings)]
        orders = [", ".join(f"`{order}`" for order in sorted(listing.native_orders)) or "-" for listing in listings]
        yield [f"{name}: `order_by`", *orders]


def _states(vendors: Adapters) -> Iterator[Iterable[str]]:
    packages = [adapter.__module__.rpartition(".")[0] for adapter in vendors.values()]
    tables = [import_module(f"{package}.translate").JOB_STATES for package in packages]
    for number in sorted({number for table in tables for number in table.values()}):
        words = [", ".join(word for word, state in table.items() if state == number) or "-" for table in tables]
        yield [ExportJob.State.Name(number), *words]
    yield ["UNRECOGNIZED_STATE", *["any other word"] * len(tables)]


def _support(vendors: Adapters, record: Record) -> Iterator[Iterable[str]]:
    known = {vendor: record.get(vendor, Outcome()) for vendor in vendors}
    skipped = {vendor: sum(outcome.skipped.values()) for vendor, outcome in known.items()}
    yield ["**support**", *(f"**{level(vendor, record)}**" for vendor in vendors)]
    yield ["conformance tests passed", *(str(outcome.passed) for outcome in known.values())]
    yield ["failed, tests of bad weather among them", *(str(_failed(outcome)) for outcome in known.values())]
    yield ["skipped, for what the vendor can't have", *map(str, skipped.values())]
    yield ["cells of bad weather passed", *(f"{known[vendor].cells} of {stormy(vendor)}" for vendor in vendors)]


def _failed(outcome: Outcome) -> int:
    return outcome.failed + len(outcome.stormed)


def _stormed(vendors: Adapters, record: Record) -> Iterator[str]:
    """Yield what is said of the tests of bad weather that failed."""
    for vendor in vendors:
        for test in record.get(vendor, Outcome()).stormed:
            yield f"- {vendor}: bad weather failed, `{test}`"


def _fields(vendors: Adapters) -> Iterator[Iterable[str]]:
    for kind in ("destination", "export_job", "subscription"):
        carried = {vendor: getattr(adapter, f"{kind}_fields") for vendor, adapter in vendors.items()}
        arms = set(vendors) | {"custom"}
        common = {field for fields in carried.values() for field in fields if field.split(".")[0] not in arms}
        for field in sorted(common):
            yield [f"{kind}: `{field}`", *("✓" if field in fields else "-" for fields in carried.values())]
        own = ([field for field in sorted(fields) if field.split(".")[0] in arms] for fields in carried.values())
        yield [f"{kind}: the vendor's own", *(", ".join(f"`{field}`" for field in fields) or "-" for fields in own)]


def _limits(vendors: Adapters) -> Iterator[Iterable[str]]:
    for limit in fields(Limits):
        known = (getattr(adapter.limits, limit.name) for adapter in vendors.values())
        yield [f"`{limit.name}`", *(f"{value:,}" if value else "-" for value in known)]
    yield ["`listing_lag_s`", *(f"{adapter.listing_lag_s:g}" for adapter in vendors.values())]
    rates = [
        ", ".join(f"`{kind}`: {rate.calls} in {rate.period_s} s" for kind, rate in sorted(adapter.rates.items()))
        for adapter in vendors.values()
    ]
    yield ["rates", *(rate or "-" for rate in rates)]


def _told(kind: type[VendorError], retry: Retry, status: int = 0) -> str:
    again_too = ", after more attempts" if again(kind("", fault=Fault(http_status=status)), retry) else ""
    reason = SEVERAL.get(kind, f"`{kind.reason}`")
    codes = {code.name for name, code in CODES.items() if name == kind.reason}
    return f"{', '.join(codes)} {reason}{again_too}"


def _causes() -> Iterator[Iterable[str]]:
    for loss in Loss:
        yield [loss.value, *(_told(LOSSES[loss][retry], retry) for retry in Retry)]
    for status, name in [*((status, str(status)) for status in sorted(BY_STATUS)), *OTHERS]:
        yield [name, *(_told(kind_of_answer(status, retry), retry, status) for retry in Retry)]
    # An answer that says yes, or where to look, and can't be read: a write may have been done, nobody knows to what.
    odd = {Retry.READ: ProtocolViolation, Retry.IDEMPOTENT: ProtocolViolation, Retry.ONCE: OutcomeUnknown}
    yield ["3xx, and 2xx that is not as documented", *(_told(odd[retry], retry, 200) for retry in Retry)]


def _reasons() -> Iterator[Iterable[str]]:
    for reason, code in CODES.items():
        wait_s = RETRY_AFTER_S.get(reason)
        yield [f"`{reason}`", code.name, "-" if wait_s is None else f"{wait_s:g}"]


def overview(record: Record) -> str:
    """Return the generated part of the README, its markers included."""
    vendors = registry.adapters()
    lines = [
        *_table(["", *vendors], _support(vendors, record)),
        *("", "✓: by the vendor's own API; emulated: from other answers of it; here: without it; -: refused.", ""),
        *_table(["RPC", *vendors], _rpcs(vendors)),
        *("", "Fields, filters, orders, states, limits, errors, and what was skipped: `protos/matrix.md`."),
    ]
    return "\n".join([BEGIN, *lines, END])


def details(record: Record) -> str:
    """Return the whole of the other file."""
    vendors = registry.adapters()
    skips = sorted({reason for vendor in vendors for reason in record.get(vendor, Outcome()).skipped})
    sections = {
        "Carried fields\nA field that is set and not carried is refused; what lies below one is carried too.": _table(
            ["field", *vendors], _fields(vendors)
        ),
        "Filters and orders\nnative: by the vendor; here: evaluated in the gateway, page by page.": _table(
            ["list and field", *vendors], _filters(vendors)
        ),
        "States\nThe vendors' words for the state of an export job, whatever their case.": _table(
            ["state", *vendors], _states(vendors)
        ),
        "Limits\nWhat each vendor is known to take; -: none known.": _table(["limit", *vendors], _limits(vendors)),
        f"What is told of a vendor's failure\n{CAUSES}": _table(["what happened", *(CLASSES.values())], _causes()),
        "Every reason\nRetryInfo, in seconds, is what is said where nobody names a wait.": _table(
            ["reason", "code", "RetryInfo"], _reasons()
        ),
        f"Support\n{SUPPORT}": _table(
            ["skipped, since the vendor", *vendors],
            [
                [reason, *(str(record.get(vendor, Outcome()).skipped.get(reason, "-")) for vendor in vendors)]
                for reason in skips
            ],
        ),
    }
    lines = [DETAILS_HEAD]
    for title, table in sections.items():
        name, _, text = title.partition("\n")
        lines += [f"## {name}", text, "", *table, ""]
    if stormed := list(_stormed(vendors, record)):
        lines += [*stormed, ""]
    return "\n".join(lines)


def renewed(text: str, record: Record) -> str:
    """Return the README with its generated part made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + overview(record) + after


if __name__ == "__main__":
    kept = load()
    README.write_text(renewed(README.read_text(), kept))
    DETAILS.write_text(details(kept))
    sys.stdout.write(f"matrix: {README.name}, {DETAILS.relative_to(README.parent)}\n")
