"""`python -m tests.bench.observed FOLDER serve …`: the gateway as it is, in a process that tells of its inside.

Nothing of this is in the gateway. SIGUSR1 makes it print {"tasks": …}: how many there are in its loop. SIGUSR2 starts
its profile, and the next one ends it and leaves it as FOLDER/profile; each prints {"profiling": …}.
"""

import asyncio
import cProfile
import json
import signal
import sys
from pathlib import Path
from types import FrameType

from gateway.__main__ import main

NAME = "profile"


class Observer:
    """What answers the signals; they come in the thread of the loop, between two steps of it."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / NAME
        self._profile: cProfile.Profile | None = None

    def tell(self, number: int, frame: FrameType | None) -> None:
        """Count the tasks."""
        _print({"tasks": len(asyncio.all_tasks())})

    def switch(self, number: int, frame: FrameType | None) -> None:
        """Begin to profile, or end it."""
        if self._profile is None:
            self._profile = cProfile.Profile()
            self._profile.enable()
        else:
            self._profile.disable()
            self._profile.dump_stats(self._file)
            self._profile = None
        _print({"profiling": self._profile is not None})


def _print(found: object) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    observer = Observer(Path(sys.argv[1]))
    signal.signal(signal.SIGUSR1, observer.tell)
    signal.signal(signal.SIGUSR2, observer.switch)
    sys.exit(main(sys.argv[2:]))
