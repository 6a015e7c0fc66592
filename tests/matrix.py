"""Writes what each vendor can do into README.md, from the code alone: `make matrix`."""

import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from adapters import registry
from adapters.base import Adapter, Listing
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway.desk import VERBS
from gateway.filtering import DESTINATION_FIELDS, EXPORT_JOB_FIELDS
from gateway.methods import METHODS

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- matrix: made by `make matrix` -->", "<!-- matrix: end -->"
LISTS = {"destinations": DESTINATION_FIELDS, "export_jobs": EXPORT_JOB_FIELDS}
ANSWERED_HERE = {"GetConnection", "ListConnections", "ResolveExportJob"}
POLLED = {"WaitExportJob", "WatchExportJob"}

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
    for name, fields in LISTS.items():
        listings = [getattr(adapter, name) for adapter in vendors.values()]
        for field in fields:
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


def matrix() -> str:
    """Return the generated part of the README, its markers included."""
    vendors = registry.adapters()
    head = list(vendors)
    lines = [
        *("✓: by the vendor's own API; emulated: from other answers of it; here: without it; -: refused.", ""),
        *_table(["RPC", *head], _rpcs(vendors)),
        *("", "Filters and orders. native: by the vendor; here: evaluated in the gateway, page by page.", ""),
        *_table(["list and field", *head], _filters(vendors)),
        *("", "The vendors' words for the state of an export job, whatever their case.", ""),
        *_table(["state", *head], _states(vendors)),
    ]
    return "\n".join([BEGIN, *lines, END])


def renewed(text: str) -> str:
    """Return the README with its generated part made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + matrix() + after


if __name__ == "__main__":
    README.write_text(renewed(README.read_text()))
    sys.stdout.write("matrix: README.md\n")
