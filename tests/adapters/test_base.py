"""What an adapter is: verbs are capabilities, and what is missing refuses properly."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, ClassVar, cast

import msgspec
import pytest

from adapters.base import VERBS, Adapter, ConnectionSettings, ListQuery, Page, Term
from adapters.errors import NotSupported
from adapters.rates import Rate
from adapters.transport import Transport
from audiencegateway.v1.connections_pb2 import Capability
from audiencegateway.v1.destinations_pb2 import Destination

CAPABILITIES = {name.removeprefix("CAPABILITY_").lower() for name in Capability.DESCRIPTOR.values_by_name} - {
    "unspecified"
}


FINDERS = ("find_export_jobs", "find_destinations", "find_subscriptions")


class Settings(ConnectionSettings, frozen=True):
    """Settings of the bare adapter."""

    url: str = "https://acme.example"


class Bare(Adapter[Settings]):
    """An adapter that implements nothing."""

    vendor: ClassVar[str] = "acme"
    Settings = Settings
    sandbox: ClassVar[str] = "nowhere:Nothing"


class Reader(Bare):
    """An adapter that implements one verb."""

    async def get_destination(self, destination_id: str, *, full: bool = False) -> Destination:
        return Destination(name=destination_id)


class NarrowReader(Reader):
    """An adapter that inherits one verb from another."""


@pytest.fixture
async def bare() -> AsyncIterator[Bare]:
    transport = Transport("acme", "main")
    yield Bare("main", Settings(), transport)
    await transport.close()


def test_every_verb_but_the_check_is_a_capability_and_the_other_way_round() -> None:
    assert set(VERBS) - {"check_connection"} == CAPABILITIES


def test_verbs_are_methods_of_the_adapter_and_nothing_else_is() -> None:
    public = {name for name, value in vars(Adapter).items() if inspect.isfunction(value) and not name.startswith("_")}
    assert {*VERBS, *FINDERS} == public
    assert not {*VERBS} & {*FINDERS}
    assert "verbs" not in VERBS
    assert "account" not in VERBS


def test_a_capability_is_a_verb_that_the_class_overrides() -> None:
    assert Bare.verbs() == frozenset()
    assert Reader.verbs() == {"get_destination"}
    assert NarrowReader.verbs() == {"get_destination"}


@pytest.mark.parametrize("verb", [*VERBS, *FINDERS])
async def test_a_verb_that_is_not_overridden_refuses_by_name(bare: Bare, verb: str) -> None:
    method = getattr(bare, verb)
    arguments: dict[str, Any] = dict.fromkeys(inspect.signature(method).parameters)
    with pytest.raises(NotSupported) as caught:
        await cast("Awaitable[object]", method(**arguments))
    assert caught.value.reason == "NOT_SUPPORTED_BY_VENDOR"
    assert caught.value.metadata == {"operation": verb, "vendor": "acme", "connection": "main"}


def test_a_field_is_fixed_by_an_equality_alone() -> None:
    terms = (Term("state", "!=", "FAILED"), Term("audiences.audience_id", ":", "7"), Term("destination", "=", "d"))
    query = ListQuery(terms=terms)
    assert query.fixed("audiences.audience_id") == "7"
    assert query.fixed("destination") == "d"
    assert query.fixed("state") is None
    assert query.fixed("create_time") is None


@pytest.mark.parametrize("op", ["!=", "<", "<=", ">", ">="])
def test_a_comparison_fixes_nothing(op: str) -> None:
    assert ListQuery(terms=(Term("create_time", op, "x"),)).fixed("create_time") is None


def test_a_page_without_a_cursor_is_the_last() -> None:
    assert Page([1, 2]).next_cursor == ""


def test_an_unknown_setting_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `uri`"):
        msgspec.convert({"uri": "https://acme.example"}, Settings)


async def test_an_adapter_tells_its_connection_what_the_vendor_takes() -> None:
    class Counted(Bare):
        """An adapter of a vendor that counts."""

        rates: ClassVar[Mapping[str, Rate]] = {"starts": Rate(5, 60), "stops": Rate(3, 60)}

    transport = Transport("acme", "main", rates={"stops": Rate(1, 60)})
    Counted("main", Settings(), transport)
    assert transport.rates.limits == {"starts": Rate(5, 60), "stops": Rate(1, 60)}
    await transport.close()
