"""Chapters, one after the other in each of some lanes, each with a ledger and simulators of its own."""

import asyncio
import random
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

from adapters import registry
from adapters.sandbox import Sandbox
from tests.chaos.chapter import Chapter, Totals
from tests.chaos.store import opened
from tests.chaos.vendors import Vendor, vendor

CHAPTER_KILLS = 25
"""A new ledger and new simulators after so many: what a vendor lists would grow, and looking through it take longer."""


async def run(folder: Path, *, kills: int, lanes: int, seed: int, store: str, url: str = "") -> Totals:
    """Kill at least *kills* times, by *lanes* gateways at once; return what it came to."""
    totals, chapters = Totals(), -(-kills // CHAPTER_KILLS)
    waiting = list(range(chapters))

    async def lane() -> None:
        while waiting:
            number = waiting.pop(0)
            begun_s = time.monotonic()
            own = folder / str(number)
            own.mkdir()
            chapter = await _chapter(own, min(CHAPTER_KILLS, kills), random.Random(f"{seed} {number}"), store, url)
            totals.add(chapter)
            took_s = time.monotonic() - begun_s
            sys.stderr.write(f"{number + 1}/{chapters} in {took_s:.0f} s: {chapter}\n")

    await asyncio.gather(*(lane() for _ in range(lanes)))
    return totals


async def _chapter(folder: Path, kills: int, chance: random.Random, store: str, url: str) -> Totals:
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(opened(store, folder, url))
        running: dict[str, tuple[Sandbox, str]] = {}
        scripted: list[Vendor] = []
        for id_ in registry.adapters():
            simulator = vendor(id_)()
            simulator.set_switches(**simulator.suite.get("switches", {}) | {"waiting_s": 0.0, "running_s": 0.0})
            running[id_] = (simulator, await simulator.start())
            stack.push_async_callback(simulator.stop)
            scripted.append(simulator)
        chapter = Chapter(folder, ledger, running, chance)
        stack.push_async_callback(chapter.gateway.close)
        for simulator in scripted:
            simulator.script = chapter
        return await chapter.play(kills)
