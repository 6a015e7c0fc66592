"""Runs one RPC in one kind of weather, and says everything that is not as it has to be."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import product
from typing import Any, NamedTuple

import grpc
import msgspec

from adapters.retry import Retry
from adapters.secrets import Secret
from adapters.transport import Timeouts
from gateway.connections import Connection, Connections
from gateway.server import build
from gateway.settings import LedgerSettings, ServerSettings, Settings
from tests.weather import weathers
from tests.weather.asking import RPCS, Told, ask
from tests.weather.weathers import CALLERS_DEADLINE, NAMED, OK, STARTS, UNKNOWN, WEATHERS, Outcome
from tests.weather.worlds import IMPATIENT, LINES, World, good, world

DEADLINE_S = 20.0
"""Of a caller. Whoever is told nothing but that it is over has no reason to show, and fails."""
ATTEMPTS = 3
MANY_PAGES = 30
AT_ONCE, AT_ONCE_IF_SLOW = 4, 24
"""How many storms rage at once in a test; most of the slow ones' time they wait."""
ONCE_MARK = "X-Once"
"""On what goes over connections of its own, as long as the weather is fair: what must not be sent twice does."""
ISSUED = re.compile(r"sandbox-[0-9a-f]{32}")
"""What tokens look like that simulators hand out."""


class Step(NamedTuple):
    """One call that an RPC makes at the vendor."""

    method: str
    path: str
    retry: Retry
    is_login: bool
    is_write: bool
    """Whether it is what the RPC is for, and changes something."""


class Fair(NamedTuple):
    """What an RPC does in fair weather."""

    told: Told
    steps: Sequence[Step]
    """Up to its write, where it has one."""
    holds: Mapping[str, str]
    """What the vendor has afterwards."""


class Climate(NamedTuple):
    """What a vendor does in fair weather."""

    seed: Mapping[str, str]
    """What it holds at first."""
    never_the_same: frozenset[str]
    """Places that differ between two that were asked the same: marks, for example."""
    books: frozenset[str]
    """What it keeps of calls, not of things: a read or a refusal changes it, too."""
    by_rpc: Mapping[str, Fair]

    def differences(self, one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
        """Return where two vendors hold different things."""
        places = changed(one, other) - self.never_the_same
        return sorted(place for place in places if _room(place) not in self.books)


@asynccontextmanager
async def gateway(connections: Iterable[Connection]) -> AsyncIterator[grpc.aio.Channel]:
    """Serve *connections*, and close them at the end."""
    opened = list(connections)
    settings = Settings(
        listen="127.0.0.1:0",
        server=ServerSettings(shutdown_grace_s=0.0),
        # What was lost stays lost for as long as it is looked at here.
        ledger=LedgerSettings(store="memory", reconcile_every_s=3600.0),
        connections=(),
    )
    server = build(settings, Connections(opened))
    address = await server.start()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            yield channel
    finally:
        await server.stop()
        for connection in opened:
            await connection.adapter.transport.close()


async def climate(vendor: str, rpcs: Iterable[str]) -> Climate:
    """Ask a vendor everything in fair weather, twice."""
    rpcs = list(rpcs)
    worlds = {(rpc, turn): world(vendor, f"fair-{i}-{turn}") for i, rpc in enumerate(rpcs) for turn in "ab"}
    seed = world(vendor, "seed").holds()
    async with AsyncExitStack() as stack:
        urls = {key: (await stack.enter_async_context(good(one)))[0] for key, one in worlds.items()}
        connections = {key: one.connection(urls[key]) for key, one in worlds.items()}
        for connection in connections.values():
            connection.adapter.transport.fresh.headers[ONCE_MARK] = "1"
        channel = await stack.enter_async_context(gateway(connections.values()))
        told = {(rpc, turn): await ask(channel, rpc, one.suite, one.id) for (rpc, turn), one in worlds.items()}
        checked = worlds["CheckConnection", "b"]
        checked.simulator.fault(path="*", status=500, count=0)
        await ask(channel, "CheckConnection", checked.suite, checked.id)
        refused = checked.holds()
    books: set[str] = set()
    never_the_same: set[str] = set()
    fair = {}
    for rpc in rpcs:
        first, second = (worlds[rpc, turn].holds() for turn in "ab")
        never_the_same |= changed(first, second)
        if not RPCS[rpc].writes:
            books |= {_room(place) for place in changed(seed, first)}
        fair[rpc] = Fair(told[rpc, "a"], tuple(_steps(worlds[rpc, "a"], rpc)), first)
    books |= {_room(place) for place in changed(fair["CheckConnection"].holds, refused)}
    return Climate(seed, frozenset(never_the_same), frozenset(books), fair)


def _room(place: str) -> str:
    return place.split("/")[1]


def changed(one: Mapping[str, str], other: Mapping[str, str]) -> set[str]:
    """Return the places where two vendors differ."""
    return {place for place in one.keys() | other.keys() if one.get(place) != other.get(place)}


def _steps(one: World, rpc: str) -> Iterator[Step]:
    requests, logins = one.requests(), one.suite.get("logins", ())
    writes = [i for i, entry in enumerate(requests) if entry["method"] != "GET" and entry["path"] not in logins]
    last = writes[-1] if writes and RPCS[rpc].writes else len(requests) - 1
    seen = set()
    for number, entry in enumerate(requests[: last + 1]):
        key = (entry["method"], entry["path"])
        if key in seen:
            continue
        seen.add(key)
        is_login, is_write = entry["path"] in logins, number in writes[-1:]
        again = Retry.IDEMPOTENT if is_write or is_login else Retry.READ
        yield Step(*key, Retry.ONCE if ONCE_MARK in entry["headers"] else again, is_login, is_write)


class Storm(NamedTuple):
    """One fault at one call of one RPC: for ever, or only once."""

    rpc: str
    weather: str
    fair: Fair
    step: Step
    passes: bool = False
    switches: Mapping[str, Any] = {}

    def __str__(self) -> str:
        how_long = "once" if self.passes else "for ever"
        words = f" {dict(self.switches)}" if self.switches else ""
        return f"{self.rpc}: {self.weather} at {self.step.method} {self.step.path} {how_long}{words}"

    @property
    def is_forgiving(self) -> bool:
        """Whether what it writes may be written again, or is looked after."""
        return self.step.retry is not Retry.ONCE or self.rpc == "CancelExportJob"

    @property
    def told(self) -> frozenset[Outcome]:
        """What the caller may be told: the table's row, and the rules for what a row can't know."""
        weather, step = WEATHERS[self.weather], self.step
        row = weather.told[step.retry]
        if row == UNKNOWN and self.rpc in STARTS:
            row = NAMED
        if self.rpc == "CancelExportJob" and weather.told is weathers.ODD:
            # It makes nothing that could be looked for.
            row = weathers.NOT_AS_DOCUMENTED
        if self.rpc == "DownloadExportJob" and step == self.fair.steps[-1] and weather.body:
            # A file is what comes, for as long as it comes.
            return frozenset({CALLERS_DEADLINE if weather.slow else OK})
        if self.rpc == "CancelExportJob" and row == UNKNOWN and (self.passes or weather.lets_through):
            # A cancel whose answer is lost is looked after, and asked for again only where it was not taken.
            return frozenset({OK})
        if self.passes and row not in {UNKNOWN, NAMED}:
            # There may be no time for the wait that the vendor's own words ask for.
            return frozenset({OK, row} if weather.own_words else {OK})
        if weather.pages or (weather.body and weather.lets_through and step.is_write and self.is_forgiving):
            # A list by offsets may end all the same. Where nobody needs the answer of a write, nobody minds it; and one
            # that is sent again may find that it is done.
            return frozenset({row, OK})
        return frozenset({row})


def storms(climate: Climate, rpc: str, weather: str, one: World) -> Iterator[Storm]:
    """Yield the storms of a cell: at every call of the RPC for ever, and at its last once."""
    fair, kind = climate.by_rpc[rpc], WEATHERS[weather]
    for switches in _own_words(one) if kind.own_words else [{}]:
        steps = [step for step in fair.steps if not (kind.pages and step.is_login)]
        for step in steps[:1] if kind.line else steps:
            yield Storm(rpc, weather, fair, step, switches=switches)
        if kind.passes:
            yield Storm(rpc, weather, fair, fair.steps[-1], passes=True, switches=switches)


def _own_words(one: World) -> Iterator[dict[str, Any]]:
    about = {name: switch for name, switch in one.simulator.documentation.items() if "429" in switch.doc}
    choices = [switch.choices for switch in about.values() if isinstance(switch.choices, tuple)]
    for values in product(*choices):
        yield dict(zip(about, values, strict=True))


class Raging(NamedTuple):
    """A storm, and where it rages."""

    storm: Storm
    world: World
    connection: Connection
    mend: Callable[[], Any] | None


async def rage(climate: Climate, vendor: str, all_storms: Sequence[Storm]) -> list[str]:
    """Run storms side by side, each with a vendor of its own; return what went wrong."""
    is_slow = any(WEATHERS[storm.weather].slow for storm in all_storms)
    turns = asyncio.Semaphore(AT_ONCE_IF_SLOW if is_slow else AT_ONCE)
    async with AsyncExitStack() as stack:
        raging = []
        for number, storm in enumerate(all_storms):
            weather, one = WEATHERS[storm.weather], world(vendor, f"storm-{number}")
            one.simulator.set_switches(**storm.switches)
            base_url, mend = await stack.enter_async_context(LINES[weather.line](one))
            connection = one.connection(base_url, IMPATIENT if weather.slow else None)
            raging.append(Raging(storm, one, connection, mend))
        channel = await stack.enter_async_context(gateway(each.connection for each in raging))

        async def run(each: Raging) -> list[str]:
            async with turns:
                return [f"{each.storm}: {wrong}" async for wrong in judged(channel, climate, each)]

        found = await asyncio.gather(*map(run, raging))
    return [wrong for each in found for wrong in each]


async def judged(channel: grpc.aio.Channel, climate: Climate, raging: Raging) -> AsyncIterator[str]:
    """Run one storm, and yield what is wrong."""
    storm, one, connection, mend = raging
    weather, step = WEATHERS[storm.weather], storm.step
    if weather.fault:
        count = 1 if storm.passes else 0
        one.simulator.fault(path=step.path, method=step.method, count=count, **weather.fault)
    told = await _ask(channel, storm, one)
    if told.outcome not in storm.told:
        yield f"told {told.outcome}, not {[str(each) for each in storm.told]}; {told.refusal}"
    for wrong in _wrong_with_the_wait(storm, told):
        yield wrong
    for wrong in _wrong_at_the_vendor(climate, storm, told, one):
        yield wrong
    for secret in secrets(one, connection):
        if secret in told.text:
            yield f"shows {secret}"
    one.simulator.faults.clear()
    connection.adapter.transport.timeouts = Timeouts()
    one.time.passed_s += told.retry_after_s or 0.0
    if mend is not None and (mending := mend()) is not None:
        await mending
    if weather.line != "untrusted":
        after = await ask(channel, "ListDestinations", one.suite, one.id)
        if after.outcome != OK:
            yield f"the next call ends in {after.outcome}; {after.refusal}"


async def _ask(channel: grpc.aio.Channel, storm: Storm, one: World) -> Told:
    timeout_s = 3.0 if CALLERS_DEADLINE in storm.told else DEADLINE_S
    told = await ask(channel, storm.rpc, one.suite, one.id, timeout_s)
    if not WEATHERS[storm.weather].pages:
        return told
    given = Counter(_items(told))
    for _ in range(MANY_PAGES):
        if told.outcome != OK or not _token(told):
            twice = [name for name, count in given.items() if count > 1]
            return Told(Outcome(grpc.StatusCode.OK, f"gave {twice} twice")) if twice and told.outcome == OK else told
        told = await ask(channel, storm.rpc, one.suite, one.id, pageToken=_token(told))
        given.update(_items(told))
    return Told(Outcome(grpc.StatusCode.OK, "it goes on for ever"))


def _token(told: Told) -> str:
    return str(getattr(told.answers[0], "next_page_token", ""))


def _items(told: Told) -> Iterator[str]:
    for answer in told.answers:
        for field, value in answer.ListFields():
            if field.is_repeated and field.message_type:
                yield from (getattr(item, "name", "") or item.entry_id for item in value)


def _wrong_with_the_wait(storm: Storm, told: Told) -> Iterator[str]:
    wait_s, least_s = told.retry_after_s, WEATHERS[storm.weather].retry_after_s
    if told.outcome not in {weathers.UNAVAILABLE, weathers.RATE_LIMITED}:
        return
    if wait_s is None:
        yield "no word of when to come back"
    elif told.outcome == weathers.RATE_LIMITED and wait_s < least_s:
        yield f"asks to wait {wait_s} s, and the vendor {least_s} s"
    elif storm.passes and wait_s < DEADLINE_S:
        yield f"there was time to wait for {wait_s} s"


def _wrong_at_the_vendor(climate: Climate, storm: Storm, told: Told, one: World) -> Iterator[str]:
    requests = one.requests()
    sent = Counter((entry["method"], entry["path"]) for entry in requests)
    if any(count > 2 * ATTEMPTS for count in sent.values()) and not WEATHERS[storm.weather].pages:
        yield f"sent again and again: {sent.most_common(1)}"
    if any("elsewhere" in entry["path"] for entry in requests):
        yield "followed a redirect"
    write = next((step for step in storm.fair.steps if step.is_write), None)
    if write is None:
        return
    accepted = sum(1 for entry in requests if (entry["method"], entry["path"]) == write[:2] and entry["accepted"])
    if write.retry is Retry.ONCE and accepted > 1:
        yield f"accepted {accepted} times"
    if told.outcome in {UNKNOWN, NAMED} and sent[write[:2]] > 1 and storm.rpc != "CancelExportJob":
        yield "may have been accepted, and was sent again"
    if told.outcome == OK and not accepted:
        yield "said to be done, and it is not"
    wanted = storm.fair.holds if accepted else climate.seed
    if differs := climate.differences(one.holds(), wanted):
        yield f"accepted {accepted} times, and the vendor holds something else at {differs[:3]}"


def secrets(one: World, connection: Connection) -> Iterator[str]:
    """Yield what must not show."""
    for value in msgspec.structs.asdict(connection.adapter.settings).values():
        if isinstance(value, Secret):
            yield value.reveal()
    yield from one.suite.get("secrets", ())
