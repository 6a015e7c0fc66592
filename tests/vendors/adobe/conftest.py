"""Adobe's simulator over loopback, new for every test, and an adapter that is connected to it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from adapters.adobe.adapter import AdobeAdapter
from adapters.adobe.sandbox import AdobeSandbox
from tests.vendors.adobe.instance import FROZEN_AT_S, Adobe


@pytest.fixture
async def adobe() -> AsyncIterator[Adobe]:
    sandbox = AdobeSandbox(frozen_at=FROZEN_AT_S)
    async with AsyncExitStack() as opened:
        url = await sandbox.start()
        opened.push_async_callback(sandbox.stop)
        yield Adobe(sandbox, url, opened)


@pytest.fixture
async def adapter(adobe: Adobe) -> AdobeAdapter:
    return adobe.connect()
