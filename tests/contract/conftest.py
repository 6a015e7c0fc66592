"""Where the published documents are, and what is held against them: a simulator's answers, an adapter's requests."""

import os
from contextlib import AsyncExitStack
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from tests.contract import adobe, segment
from tests.contract.documents import Document
from tests.contract.published import Explored, Published, Reader, Sender, Sent

FOLDER = os.environ.get("SPECS", "")
SENDERS = (adobe.SENDER, segment.SENDER)
PUBLISHED = tuple(published for sender in SENDERS for published in sender.documents)


@pytest.fixture(scope="session")
def read() -> Reader:
    """Return what reads a published document, once. Without the folder or the file, what needs it is skipped."""
    documents: dict[str, Document] = {}

    def once(published: Published) -> Document:
        if not FOLDER:
            pytest.skip("no folder with the published documents is given: make contract SPECS=folder")
        file = Path(FOLDER, published.file)
        if not file.is_file():
            pytest.skip(f"{FOLDER} has no {published.file}")
        if published.file not in documents:
            documents[published.file] = Document.read(file)
        return documents[published.file]

    return once


@pytest.fixture(scope="session", params=PUBLISHED, ids=lambda published: published.file)
async def explored(request: pytest.FixtureRequest, read: Reader) -> Explored:
    published: Published = request.param
    document = read(published)
    return Explored(published, document, await published.explore(document))


class Asked:
    """Stands before an adapter and notes what it is asked."""

    def __init__(self, adapter: Any, asked: set[str]) -> None:
        self._adapter, self._asked = adapter, asked

    def __getattr__(self, name: str) -> Any:
        self._asked.add(name)
        return getattr(self._adapter, name)


@pytest.fixture(scope="session", params=SENDERS, ids=lambda sender: sender.adapter.vendor)
async def sent(request: pytest.FixtureRequest, read: Reader) -> Sent:
    sender: Sender = request.param
    for published in sender.documents:
        read(published)
    found = Sent(sender, [], {pattern: [] for pattern in sender.undocumented}, set())
    async with sender.documents[0].served() as (simulator, url), AsyncExitStack() as opened:
        vendor = sender.connectable(simulator, url, opened)
        for call in sender.calls.values():
            simulator.reset()
            await call(Asked(vendor.connect(), found.verbs))
            for entry in simulator.journal:
                _keep(found, entry)
    return found


def _keep(found: Sent, entry: dict[str, Any]) -> None:
    patterns = (each for each in found.undocumented if fnmatchcase(f"{entry['method']} {entry['path']}", each))
    if pattern := next(patterns, None):
        found.undocumented[pattern].append(entry)
        return
    homes = (each for each in found.sender.documents if entry["path"].startswith(f"{each.base}/"))
    # Of what belongs nowhere any document says so.
    found.documented.append((next(homes, found.sender.documents[0]), entry))
