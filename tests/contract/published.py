"""What is known of published documents: whose they are, what is not simulated of them, and what they get wrong."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from adapters.base import Adapter
from adapters.sandbox import CONTROL, Sandbox
from tests.contract.documents import Document
from tests.contract.exploring import Exploration, Seeds, explore
from tests.contract.flaws import Flaw, Repair

FROZEN_AT_S = 1_767_225_600.0  # 2026-01-01T00:00:00Z


@dataclass(frozen=True, kw_only=True)
class Published:
    """One document."""

    file: str
    simulator: type[Sandbox]
    base: str = ""
    """What the simulator's paths have before the document's."""
    seeds: Callable[[Sandbox], Seeds]
    """Called with the simulator in its seed state."""
    switches: Mapping[str, Any] = field(default_factory=dict)
    """What is set at the simulator beside its defaults, which are what the documents allow."""
    unsimulated: Mapping[str, str] = field(default_factory=dict)
    """Operations that no adapter uses, with the reason."""
    answer_flaws: tuple[Flaw, ...] = ()
    """Seen in the answers of the simulator, which keeps to the vendor's pages and to what was observed."""
    repairs: tuple[Repair, ...] = ()
    """Made before requests are held against it."""
    request_flaws: tuple[Flaw, ...] = ()
    """Seen in the requests of the adapter."""

    @asynccontextmanager
    async def served(self) -> AsyncIterator[tuple[Sandbox, str]]:
        """Run the simulator; yield it and where it is."""
        simulator = self.simulator(frozen_at=FROZEN_AT_S)
        try:
            yield simulator, await simulator.start()
        finally:
            await simulator.stop()

    async def explore(self, document: Document, *, skip: Iterable[str] = (), **switches: Any) -> Exploration:
        """Have the simulator asked everything but what is not simulated, and what is to *skip*."""
        async with self.served() as (simulator, url):
            return await explore(
                document,
                url + self.base,
                self.seeds(simulator),
                control=url + CONTROL.rstrip("/"),
                skip={*self.unsimulated, *skip},
                switches={**self.switches, **switches},
            )


class Connectable(Protocol):
    """What the vendor's own tests have: a simulator, and how to connect an adapter to it."""

    def connect(self) -> Adapter[Any]:
        """Return a new adapter."""
        ...


@dataclass(frozen=True, kw_only=True)
class Sender:
    """An adapter, everything that it can be made to send, and the documents that this is held against."""

    adapter: type[Adapter[Any]]
    documents: tuple[Published, ...]
    addresses: Mapping[str, Published]
    """Which document says where the adapter's calls go by default, by the setting's name."""
    connectable: Callable[[Any, str, AsyncExitStack], Connectable]
    """Called with the simulator and where it is."""
    calls: Mapping[str, Callable[[Any], Awaitable[object]]]
    """By what they do: each is given an adapter."""
    undocumented: Mapping[str, str]
    """Requests that no document is about, as `METHOD path` with a `*` for what varies, with the reason."""


Reader = Callable[[Published], Document]


class Explored(NamedTuple):
    """A document, and what its vendor's simulator answered to everything that it allows."""

    published: Published
    document: Document
    exploration: Exploration


class Sent(NamedTuple):
    """Everything that an adapter sent, as journal entries."""

    sender: Sender
    documented: list[tuple[Published, dict[str, Any]]]
    """Each with the document that it is to be held against."""
    undocumented: dict[str, list[dict[str, Any]]]
    """Those that no document is about, by the pattern that says so."""
    verbs: set[str]
    """What the adapter was asked."""
