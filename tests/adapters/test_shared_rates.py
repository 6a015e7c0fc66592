"""Rates that replicas share: together no more than the limit, and no call fails or hangs for want of Redis."""

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator
from functools import partial

import pytest

from adapters.errors import RateLimited
from adapters.rates import READS, Rate, Rates
from adapters.shared_rates import REST_S, SharedRates

REDIS = os.environ.get("TEST_REDIS_URL", "")
needs_redis = pytest.mark.skipif(not REDIS, reason="TEST_REDIS_URL is not set")
RATE = Rate(5, 60)
PATIENT_S = 30.0
"""Where Redis is there, a busy machine may take longer than a call would wait for it."""


@pytest.fixture
async def replicas() -> AsyncIterator[list[SharedRates]]:
    prefix = f"test-{secrets.token_hex(8)}"
    opened = [SharedRates(REDIS, prefix=prefix, patience_s=PATIENT_S) for _ in range(2)]
    yield opened
    for one in opened:
        await one.close()


async def got_a_turn(rates: Rates) -> bool:
    try:
        await rates.turn(READS, 0.0)
        await rates.elsewhere_s(READS, 0.0)
    except RateLimited as error:
        assert 0 < (error.retry_after_s or 0) <= 60  # noqa: PT017 - one kind of refusal among turns
        return False
    return True


@needs_redis
async def test_two_replicas_take_no_more_than_the_limit_together(replicas: list[SharedRates]) -> None:
    rates = [Rates({READS: RATE}, shared=partial(one.take, "main")) for one in replicas]
    got = await asyncio.gather(*(got_a_turn(rates[i % 2]) for i in range(12)))
    assert got.count(True) == 5


@needs_redis
async def test_connections_and_classes_are_counted_apart(replicas: list[SharedRates]) -> None:
    rate = Rate(1, 60)
    one, other = replicas
    assert await one.take("main", READS, rate) == 0.0
    assert await other.take("main", READS, rate) > 0
    assert await other.take("main", "writes", rate) == 0.0
    assert await other.take("other", READS, rate) == 0.0


async def test_without_redis_every_call_goes_and_the_log_says_so_once(
    closed: int, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    url = f"redis://:hunter2@127.0.0.1:{closed}/0"
    shared = SharedRates(url, prefix="test", patience_s=PATIENT_S, clock=lambda: now)
    caplog.set_level(logging.INFO)
    for _ in range(3):
        assert await shared.take("main", READS, Rate(1, 60)) == 0.0
        now += REST_S
    await shared.close()
    assert [record.getMessage() for record in caplog.records] == [
        "rates are not shared with other replicas: Redis fails (ConnectionError)"
    ]


async def test_a_redis_that_never_answers_is_not_waited_for(mute: int) -> None:
    now = 0.0
    shared = SharedRates(f"redis://127.0.0.1:{mute}/0", prefix="test", patience_s=0.01, clock=lambda: now)
    async with asyncio.timeout(10):
        assert await shared.take("main", READS, Rate(1, 60)) == 0.0
    await shared.close()


async def test_a_redis_that_failed_is_left_alone_for_a_while(mute: int) -> None:
    now = 0.0
    shared = SharedRates(f"redis://127.0.0.1:{mute}/0", prefix="test", patience_s=0.01, clock=lambda: now)
    await shared.take("main", READS, RATE)
    shared.patience_s = PATIENT_S
    async with asyncio.timeout(10):
        now += REST_S - 1
        assert await shared.take("main", READS, RATE) == 0.0
        now += 1
        asking = asyncio.create_task(shared.take("main", READS, RATE))
        await asyncio.wait([asking], timeout=0.05)
        assert not asking.done()
        asking.cancel()
        await asyncio.wait([asking])
    await shared.close()


async def test_the_limit_of_one_replica_holds_while_redis_is_gone(closed: int) -> None:
    shared = SharedRates(f"redis://127.0.0.1:{closed}/0", prefix="test", patience_s=PATIENT_S)
    rates = Rates({READS: RATE}, shared=partial(shared.take, "main"))
    got = [await got_a_turn(rates) for _ in range(8)]
    await shared.close()
    assert got.count(True) == 5


@needs_redis
async def test_when_redis_is_back_rates_are_shared_again(
    replicas: list[SharedRates], closed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    now = 0.0
    one, other = replicas
    lost = SharedRates(REDIS, prefix=one.prefix, patience_s=0.0, clock=lambda: now)
    assert await lost.take("main", READS, Rate(1, 60)) == 0.0
    lost.patience_s = PATIENT_S
    now += REST_S
    assert await lost.take("main", READS, Rate(1, 60)) == 0.0
    assert await other.take("main", READS, Rate(1, 60)) > 0
    await lost.close()
    assert caplog.records[-1].getMessage() == "rates are shared with other replicas again"
