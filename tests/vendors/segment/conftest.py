"""Segment's simulator over loopback, new for every test, and an adapter that is connected to it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from adapters.segment.adapter import SegmentAdapter
from adapters.segment.sandbox import SegmentSandbox
from tests.vendors.segment.workspace import FROZEN_AT_S, Segment


@pytest.fixture
async def segment() -> AsyncIterator[Segment]:
    sandbox = SegmentSandbox(frozen_at=FROZEN_AT_S)
    async with AsyncExitStack() as opened:
        url = await sandbox.start()
        opened.push_async_callback(sandbox.stop)
        yield Segment(sandbox, url, opened)


@pytest.fixture
async def adapter(segment: Segment) -> SegmentAdapter:
    return segment.connect()
