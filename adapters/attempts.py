"""The attempts of one call: whether and when each may go, how long it has, and whether there is another."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from typing import NamedTuple, ParamSpec, Protocol, TypeVar

import aiohttp

from adapters import calls
from adapters.auth import Auth
from adapters.body import Body
from adapters.errors import (
    CircuitOpen,
    CredentialsRejected,
    NoTurn,
    OutcomeUnknown,
    Overloaded,
    RateLimited,
    TimedOut,
    Unavailable,
    VendorError,
)
from adapters.places import Places
from adapters.retry import LOSSES, Loss, Retry, again, delay_s
from adapters.transport import Transport

LOG = logging.getLogger(__name__)


class Answered(Protocol):
    """What an attempt comes to."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the headers of the vendor's answer."""
        ...


T = TypeVar("T", bound=Answered)
V = TypeVar("V")
P = ParamSpec("P")
Once = Callable[[Mapping[str, str], float], Awaitable[T]]
"""One attempt, given the headers that prove who calls and the seconds that are left."""

ANSWER_MARGIN_S = 0.05
"""What a call keeps back of its deadline, so that the caller hears the reason and not only its own clock."""
_ENOUGH = 0.9
"""Of the time of an attempt: a vendor that does not answer within less is not to blame."""
_SERVER_ERROR = 500
_BLAMING = (Unavailable, TimedOut, OutcomeUnknown)
_NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
LOST = (aiohttp.ClientError, OSError)
"""What ends an attempt without an answer; TimeoutError is an OSError."""


class Ask(NamedTuple):
    """What the attempts of one call have in common."""

    retry: Retry
    operation_s: float
    """The time of all of them together; infinite for what has no end of its own."""
    kind: str
    """What the vendor's limits count it as."""
    places: Places
    stays: bool = False
    """Whether it keeps its place beyond the answer, until its caller gives it back."""


class Attempts:
    """Makes the attempts of the calls to one base URL."""

    def __init__(self, transport: Transport, auth: Auth) -> None:
        self._transport = transport
        self._auth = auth

    def deadline(self, retry: Retry, operation_s: float) -> float:
        """Return when a call that begins now has to end, on the event loop's clock."""
        ends_at = calls.current().ends_at(write=retry is not Retry.READ)
        deadline = asyncio.get_running_loop().time() + operation_s
        return deadline if ends_at is None else min(deadline, ends_at - ANSWER_MARGIN_S)

    def late(self, why: str) -> VendorError:
        """Return the error for a call whose time is over before anything was sent."""
        error = lost(self._transport, Loss.TIMEOUT, Retry.READ, why)
        error.hurried = True
        return error

    async def run(self, once: Once[T], ask: Ask, deadline: float) -> T:
        """Return what the first attempt that succeeds comes to.

        Raises:
            VendorError: The last attempt's, or what kept the first one from being made.
            Overloaded: There was no place for it.
        """
        call = calls.current()
        call.leave()
        try:
            return await self._run(once, ask, deadline, call)
        finally:
            call.back()

    async def _run(self, once: Once[T], ask: Ask, deadline: float, call: calls.Call) -> T:
        transport, clock = self._transport, asyncio.get_running_loop().time
        failed: VendorError | None = None
        attempt, renewed = 0, False
        while True:
            given = self._auth.ready()
            if given is None:
                given = await self._credentials(ask, deadline, self._auth.headers)
            attempt += 1
            try:
                return await self._attempt(once, ask, given, deadline)
            except CredentialsRejected:
                if renewed or not await self._credentials(ask, deadline, self._auth.renew, given):
                    raise
                renewed = True
            except (CircuitOpen, NoTurn) as refused:
                # Once something was sent, what came of that says more.
                raise failed or transport.named(refused) from None
            except Overloaded:
                if failed is None:
                    raise
                raise failed from None
            except VendorError as error:
                failed = transport.named(error)
                wait_s = self._pause_s(error, ask.retry, attempt, deadline)
                if wait_s is None:
                    raise
                LOG.info("connection %s: attempt %d failed: %s", transport.connection, attempt, error.reason)
                paused_at = clock()
                await transport.sleep(wait_s)
                call.wait_s += clock() - paused_at

    def _pause_s(self, error: VendorError, retry: Retry, attempt: int, deadline: float) -> float | None:
        """Return the wait before the next attempt; None where there is none."""
        transport = self._transport
        if attempt >= transport.policy.attempts or not again(error, retry) or transport.breaker.open:
            return None
        wait_s = delay_s(transport.policy, error, attempt, transport.jitter())
        if asyncio.get_running_loop().time() + wait_s >= deadline:
            # Of a vendor that asks for a wait nobody gets more.
            error.hurried = error.hurried or error.retry_after_s is None
            return None
        return wait_s if transport.budget.spend() else None

    async def _attempt(self, once: Once[T], ask: Ask, given: Mapping[str, str], deadline: float) -> T:
        transport, places = self._transport, ask.places
        clock = asyncio.get_running_loop().time
        call = calls.current()
        started = clock()
        if started >= deadline:
            raise self.late("no time left")
        probe, turn, speaks_for_it, stays = False, None, None, False
        if places.free and not transport.breaker.open and transport.rates.open(ask.kind):
            places.free -= 1
        else:
            try:
                probe, turn = await self._admitted(ask, call, deadline)
            finally:
                call.wait_s += clock() - started
        try:
            if ask.retry is not Retry.READ and not call.written:
                await self._hand_over(call)
            turn = None
            call.vendor_calls += 1
            started = clock()
            result = await once(given, deadline - started)
        except VendorError as error:
            speaks_for_it = self._speaks_for_it(error, deadline - started, clock() - started, ask.operation_s)
            if isinstance(error, RateLimited):
                transport.rates.refused(ask.kind, error.retry_after_s)
            raise
        else:
            speaks_for_it, stays = True, ask.stays
            transport.budget.refund()
            transport.rates.succeeded(ask.kind, result.headers, transport.now())
            return result
        finally:
            call.vendor_s += clock() - started
            transport.breaker.note(succeeded=speaks_for_it, probe=probe)
            if turn is not None:
                transport.rates.give_back(ask.kind, turn)
            if not stays:
                places.give_back()

    async def _admitted(self, ask: Ask, call: calls.Call, deadline: float) -> tuple[bool, float | None]:
        """Wait until an attempt may be made, and take its place; return whether it is a probe, and its turn.

        A turn comes before a place: those who wait for the vendor's limits hold up nobody else. What is counted with
        other replicas comes last, since it can't be given back.

        Raises:
            CircuitOpen: The vendor is left alone.
            NoTurn: Its turn does not come in time.
            Overloaded: No place comes free in time, or too many wait.
        """
        transport, places = self._transport, ask.places
        breaker, rates = transport.breaker, transport.rates
        clock = asyncio.get_running_loop().time
        if not call.written and call.deadline is not None:
            # A write has more time than its caller, but only once it was handed over.
            deadline = min(deadline, call.deadline - ANSWER_MARGIN_S)
        while True:
            breaker.refuse()
            with ExitStack() as taken:
                with places.turns:
                    turn = await rates.turn(ask.kind, deadline - clock())
                taken.callback(rates.give_back, ask.kind, turn)
                if places.free:
                    places.free -= 1
                else:
                    left_s = min(deadline - clock(), transport.timeouts.operation_s)
                    await places.wait(transport.policy.queue_share * left_s)
                taken.callback(places.give_back)
                breaker.refuse()
                wait_s = await rates.elsewhere_s(ask.kind, deadline - clock())
                if not wait_s:
                    probe = breaker.probe()
                    taken.pop_all()
                    return probe, turn
            with places.turns:
                await transport.sleep(wait_s)

    @staticmethod
    async def _hand_over(call: calls.Call) -> None:
        if call.before_write is not None:
            call.back()
            try:
                await call.before_write()
            finally:
                call.leave()
        call.written = True

    def _speaks_for_it(self, error: VendorError, had_s: float, took_s: float, operation_s: float) -> bool | None:
        """Tell whether an attempt that failed after *took_s* of *had_s* speaks for the vendor; None: neither way."""
        status = error.fault.http_status
        if status:
            return status < _SERVER_ERROR or not isinstance(error, _BLAMING)
        # What has no end of its own is cut off by its caller alone.
        fair_s = math.inf if operation_s == math.inf else _ENOUGH * min(self._transport.timeouts.attempt_s, operation_s)
        error.hurried = took_s >= had_s and had_s < fair_s
        return None if error.hurried else False

    async def _credentials(
        self, ask: Ask, deadline: float, get: Callable[P, Awaitable[V]], *args: P.args, **kwargs: P.kwargs
    ) -> V:
        try:
            with ask.places.tokens:
                async with asyncio.timeout_at(deadline):
                    return await get(*args, **kwargs)
        except TimeoutError:
            raise self.late("no token in time") from None


def named_loss(transport: Transport, retry: Retry, error: Exception, sent: Body | None = None) -> VendorError:
    """Return the error for one of `LOST`, given the attempt's body."""
    if isinstance(error, _NOT_SENT) or (sent is not None and not sent.whole):
        loss = Loss.NOT_SENT
    else:
        loss = Loss.TIMEOUT if isinstance(error, TimeoutError) else Loss.BROKEN
    return lost(transport, loss, retry, type(error).__name__)


def lost(transport: Transport, loss: Loss, retry: Retry, why: str) -> VendorError:
    """Return the error for an attempt without an answer."""
    return transport.named(LOSSES[loss][retry](f"{transport.vendor}: {loss.value} ({why})"))
