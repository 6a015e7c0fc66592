"""Some rounds of killing one gateway over one ledger and its own simulators, and what they came to.

A round starts one call of each kind under a new request id, kills the gateway somewhere, and repeats every call with
its id until it is answered. Only one call of a kind is on its way at a time, so a write that reaches a vendor is that
call's, whatever is in it.
"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import grpc

from adapters import names
from adapters.sandbox import Sandbox
from audiencegateway.v1.export_jobs_pb2 import ExportJob, WaitExportJobRequest
from tests.chaos.gateway import Gateway, configure
from tests.chaos.operations import Operation, operations
from tests.chaos.store import Store
from tests.chaos.vendors import Fate, Moment, Script

AGAIN = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""What a caller repeats with the same request id."""
FOLLOWING = {*AGAIN, grpc.StatusCode.NOT_FOUND}
"""What may happen to one who follows a job, the last where the gateway has forgotten it."""
PAUSE_S = 0.1
LOOK_S = 0.001
"""Between two looks at the ledger for a phase to kill in."""
PATIENCE_S = 300.0
"""What is not answered or settled by then is unresolved."""
SPREAD_S = 0.15
"""A kill at any time comes so soon after the calls began."""
AGAIN_SHARE = 0.4
"""So many of the gateways that are to put things right are killed at that."""
WORST = [
    *[Fate()] * 10,
    *[Fate(answer="dropped")] * 4,
    *[Fate(answer="failed")] * 2,
    Fate(applied=False, answer="dropped"),
    Fate(applied=False, answer="failed"),
]
KILLS = ["arrived", "applied", "answered", "RESERVED", "SENDING", "ACCEPTED", "any time", "any time"]
"""When: at a moment of a write at its vendor, in a phase of the ledger's row, or at any time."""


@dataclass
class Totals:
    """What came of it all."""

    kills: int = 0
    retries: int = 0
    vendor_jobs: int = 0
    duplicates: int = 0
    lost: int = 0
    unresolved: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    """In which phase the calls under way were when the gateway was killed."""
    findings: list[str] = field(default_factory=list)

    def add(self, other: "Totals") -> None:
        """Count another's in."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def __str__(self) -> str:
        return " ".join(
            f"{name}={getattr(self, name)}"
            for name in ("kills", "retries", "vendor_jobs", "duplicates", "lost", "unresolved")
        )

    @property
    def ok(self) -> bool:
        """Whether nothing was made twice, lost or left open."""
        return not (self.duplicates or self.lost or self.unresolved)


class Asked(NamedTuple):
    """A call that was made."""

    operation: Operation
    request_id: str


class Chapter(Script):
    """One gateway, killed so many times."""

    def __init__(
        self, folder: Path, store: Store, simulators: Mapping[str, tuple[Sandbox, str]], chance: random.Random
    ) -> None:
        self.totals = Totals()
        self._store = store
        self._chance = chance
        self._operations = operations({vendor: simulator for vendor, (simulator, _) in simulators.items()})
        environ = configure(folder, store, {vendor: base_url for vendor, (_, base_url) in simulators.items()})
        self.gateway = Gateway(folder, environ, mourn=self._mourn)
        self._routes: dict[Operation, tuple[str, str]] = {}
        self._on_the_way: dict[tuple[str, str], str] = {}
        self._made: defaultdict[str, list[bytes]] = defaultdict(list)
        """What the vendors answered to the writes that they applied, by request id."""
        self._asked: list[Asked] = []
        self._answers: dict[str, Any] = {}
        self._calm = True
        self._armed: tuple[str, str, str] | None = None

    async def play(self, kills: int) -> Totals:
        """Kill so many times, let it settle, and judge."""
        await self._learn_routes()
        self._calm = False
        while self.totals.kills < kills and None not in self._answers.values():
            await self._round()
        self._calm = True
        for asked in self._asked:
            await self._settle(asked)
        await self._judge()
        return self.totals

    # What vendors do.

    def fate(self, vendor: str, route: str) -> Fate:
        return Fate() if self._calm else self._chance.choice(WORST)

    def at(self, moment: Moment, vendor: str, route: str, answer: bytes = b"") -> None:
        if moment == "applied":
            if self._calm and (vendor, route) not in self._on_the_way:
                self._on_the_way[vendor, route] = ""
            self._made[self._on_the_way.get((vendor, route), "")].append(answer)
        if self._armed == (moment, vendor, route):
            self._armed = None
            self._kill()

    async def _learn_routes(self) -> None:
        """Make each call once, undisturbed: the last write that it makes at its vendor is the one that counts."""
        for operation in self._operations:
            asked = Asked(operation, self._new_id())
            self._on_the_way.clear()
            self._answers[asked.request_id] = await self._answer(asked)
            self._routes[operation] = list(self._on_the_way)[-1]
            self._made[asked.request_id] = [self._made.pop("")[-1]]
            self._asked.append(asked)
        self._on_the_way.clear()

    # A round.

    async def _round(self) -> None:
        picked = {self._routes[operation]: operation for operation in self._shuffled() if not self._is_open(operation)}
        if not picked:
            await asyncio.sleep(PAUSE_S)
            await self._look_again()
            return
        calls = [Asked(operation, self._new_id()) for operation in picked.values()]
        self._asked += calls
        self._on_the_way = {self._routes[call.operation]: call.request_id for call in calls}
        await self.gateway.up()
        before = self.totals.kills
        killing = self._arm(self._chance.choice(calls))
        answers = await asyncio.gather(*(self._answer(call) for call in calls))
        killing.cancel()
        self._armed = None
        for call, answer in zip(calls, answers, strict=True):
            self._answers[call.request_id] = answer
        if self.totals.kills == before:  # it came too late
            self._kill()
        await self._look_again()

    def _arm(self, victim: Asked) -> "asyncio.Task[None] | asyncio.TimerHandle":
        """Have the gateway killed once, by something about a call or at any time."""
        when = self._chance.choice(KILLS)
        loop = asyncio.get_running_loop()
        if when.isupper():
            return loop.create_task(self._kill_in(when, victim.request_id))
        if when in {"arrived", "applied", "answered"}:
            self._armed = (when, *self._routes[victim.operation])
        return loop.call_later(self._chance.uniform(0.0, SPREAD_S) if when == "any time" else PATIENCE_S, self._kill)

    async def _kill_in(self, phase: str, request_id: str) -> None:
        while (await self._store.phases([request_id])).get(request_id) != phase:  # noqa: ASYNC110 - another process makes it so
            await asyncio.sleep(LOOK_S)
        self._kill()

    def _kill(self) -> None:
        self.totals.kills += self.gateway.kill()

    async def _mourn(self) -> None:
        """After a death: see where it left the calls; sometimes, let the next one die while it puts things right."""
        phases = await self._store.phases(self._on_the_way.values())
        self.totals.phases.update(phases.get(request_id, "none") for request_id in self._on_the_way.values())
        if not self._calm and self._chance.random() < AGAIN_SHARE:
            asyncio.get_running_loop().call_later(self._chance.uniform(0.3, 1.5), self._kill)

    async def _answer(self, asked: Asked) -> Any:
        """Repeat a call until it is answered; None where that takes too long."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    stubs = await self.gateway.up()
                    try:
                        return await asked.operation.call(stubs, asked.request_id)
                    except grpc.aio.AioRpcError as error:
                        if error.code() not in AGAIN:
                            raise AssertionError(f"{asked}: {error.code().name} {error.details()}") from error
                    self.totals.retries += 1
                    await asyncio.sleep(PAUSE_S)
        except TimeoutError:
            return None

    # Afterwards.

    def _is_open(self, operation: Operation) -> bool:
        """Tell whether it is not known what a call of this kind came to: a second one might be taken for it."""
        asked = [call for call in self._asked if call.operation == operation]
        return any(_is_unknown(self._answers[call.request_id]) for call in asked)

    async def _look_again(self) -> None:
        """Look at what was left open, as a caller does who follows it."""
        for request_id, answer in self._answers.items():
            if answer is not None and _is_unknown(answer):
                self._answers[request_id] = await self._followed(answer, wait_ms=0)

    async def _followed(self, job: ExportJob, wait_ms: int) -> ExportJob:
        """Return how a job is now, or after it changed; as it was, where that can't be told."""
        stubs = await self.gateway.up()
        wait = WaitExportJobRequest(name=job.name)
        wait.timeout.FromMilliseconds(wait_ms)
        try:
            found: ExportJob = await stubs.export_jobs.WaitExportJob(wait, timeout=PATIENCE_S)
        except grpc.aio.AioRpcError as error:
            if error.code() not in FOLLOWING:
                raise
            return job
        return found

    async def _settle(self, asked: Asked) -> None:
        """Ask for the last time, until it is known what the call came to."""
        self._on_the_way = {self._routes[asked.operation]: asked.request_id}
        answer = await self._answer(asked)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while answer is not None and _is_unknown(answer):
                    await self._followed(answer, wait_ms=1000)
                    answer = await self._answer(asked)
        self._answers[asked.request_id] = answer

    async def _judge(self) -> None:
        """Compare what the gateway says with what the vendors did."""
        totals = self.totals
        found: Counter[str] = Counter()
        for asked in self._asked:
            answer, made = self._answers[asked.request_id], self._made.pop(asked.request_id, [])
            totals.vendor_jobs += len(made)
            totals.duplicates += max(0, len(made) - 1)
            if len(made) > 1:
                totals.findings.append(f"{asked.operation.vendor} {asked.operation.verb}: {len(made)} for one id")
            if answer is None or _is_unknown(answer):
                totals.unresolved += 1
                totals.findings.append(f"{asked.operation.vendor} {asked.operation.verb}: open, with {len(made)} made")
            elif _is_never_submitted(answer) == bool(made) or (made and not _is_of(answer, made)):
                totals.lost += 1
                totals.findings.append(f"{asked.operation.vendor} {asked.operation.verb}: {answer.name}, with {made}")
            else:
                found[answer.name] += not _is_never_submitted(answer)
        twice = sum(count - 1 for count in found.values() if count > 1)
        totals.lost += twice  # one job that two calls are said to have come to
        strays = sum(map(len, self._made.values()))
        totals.duplicates += strays  # written by nobody's request
        if strays or twice:
            totals.findings.append(f"{strays} writes of no call, {twice} answers that another call has, too")

    def _shuffled(self) -> list[Operation]:
        return self._chance.sample(self._operations, len(self._operations))

    def _new_id(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128), version=4))


def _is_unknown(answer: Any) -> bool:
    return answer is None or (isinstance(answer, ExportJob) and answer.state == ExportJob.OUTCOME_UNKNOWN)


def _is_never_submitted(answer: Any) -> bool:
    return isinstance(answer, ExportJob) and answer.state == ExportJob.FAILED and "/g~" in answer.name


def _is_of(answer: Any, made: list[bytes]) -> bool:
    """Tell whether the resource that was answered is the one that the vendor made."""
    kind = "ExportJob" if isinstance(answer, ExportJob) else "Destination"
    *_, id_ = names.parse(answer.name, kind)
    *_, last = names.split_id(id_, id_.count("~") + 1) if kind == "ExportJob" else [id_]
    return any(last.encode() in text for text in made)
