"""mediarithmics' simulator over loopback, new for every test, and an adapter that is connected to it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from adapters.mediarithmics.adapter import MediarithmicsAdapter
from adapters.mediarithmics.sandbox import MediarithmicsSandbox
from tests.vendors.mediarithmics.datamart import FROZEN_AT_S, Datamart


@pytest.fixture
async def datamart() -> AsyncIterator[Datamart]:
    sandbox = MediarithmicsSandbox(frozen_at=FROZEN_AT_S)
    async with AsyncExitStack() as opened:
        url = await sandbox.start()
        opened.push_async_callback(sandbox.stop)
        yield Datamart(sandbox, f"{url}/v1", opened)


@pytest.fixture
async def adapter(datamart: Datamart) -> MediarithmicsAdapter:
    return datamart.connect()
