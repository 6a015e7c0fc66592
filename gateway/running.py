"""The event loop that commands run on."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

_new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
# It has no release for Windows, nor for another Python than CPython.
with suppress(ImportError):
    import uvloop

    _new_loop = uvloop.new_event_loop


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* to its end on a loop of its own."""
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        return runner.run(work)
