"""Which vendors there are: those built in, and those that other packages bring."""

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from adapters.base import Adapter

if TYPE_CHECKING:
    from adapters.sandbox import Sandbox  # what serves for real never loads a simulator

BUILT_IN = {
    "meiro": "adapters.meiro.adapter:MeiroAdapter",
    "mediarithmics": "adapters.mediarithmics.adapter:MediarithmicsAdapter",
    "adobe": "adapters.adobe.adapter:AdobeAdapter",
    "segment": "adapters.segment.adapter:SegmentAdapter",
}
ENTRY_POINTS = "audiencegateway.adapters"


def _load(reference: str) -> Any:  # noqa: ANN401 - whatever the reference names
    module, _, attribute = reference.partition(":")
    return getattr(import_module(module), attribute)


@cache
def adapters() -> dict[str, type[Adapter[Any]]]:
    """Return every adapter by its vendor id, built-in ones first.

    Raises:
        ValueError: Two adapters claim one vendor id, or a class serves another vendor than it is registered for.
    """
    found: dict[str, type[Adapter[Any]]] = {}
    outside = [(point.name, point.value) for point in entry_points(group=ENTRY_POINTS)]
    for vendor, reference in [*BUILT_IN.items(), *sorted(outside)]:
        adapter: type[Adapter[Any]] = _load(reference)
        if vendor in found or adapter.vendor != vendor:
            message = f"{reference}: registered as {vendor!r}, which is taken or not the vendor it serves"
            raise ValueError(message)
        found[vendor] = adapter
    return found


def sandbox(vendor: str) -> "type[Sandbox]":
    """Return the simulator of a registered vendor."""
    simulator: type[Sandbox] = _load(adapters()[vendor].sandbox)
    return simulator
