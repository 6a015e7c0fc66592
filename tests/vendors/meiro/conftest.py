"""Meiro's simulator over loopback, new for every test, and an adapter that is connected to it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from adapters.meiro.adapter import MeiroAdapter
from adapters.meiro.sandbox import MeiroSandbox
from tests.vendors.meiro.instance import FROZEN_AT_S, Meiro


@pytest.fixture
async def meiro() -> AsyncIterator[Meiro]:
    sandbox = MeiroSandbox(frozen_at=FROZEN_AT_S)
    async with AsyncExitStack() as opened:
        url = await sandbox.start()
        opened.push_async_callback(sandbox.stop)
        yield Meiro(sandbox, f"{url}/api/", opened)


@pytest.fixture
async def adapter(meiro: Meiro) -> MeiroAdapter:
    return meiro.connect()
