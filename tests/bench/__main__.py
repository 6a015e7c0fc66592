"""`make bench`: the gateway beside a bare pipe that does the same by hand. Nothing here is a test: it only measures.

Prints a table, and writes build/bench.json. Exit status: 0 also where targets are missed.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from tests.bench import cases, processes
from tests.bench.cases import Size
from tests.bench.figures import Report, Row, report, table
from tests.bench.load import load
from tests.bench.pairs import Pair

OUTPUT = Path("build/bench.json")


async def run(size: Size, progress: Callable[[str], object] = str) -> Report:
    """Measure every case; takes some minutes."""
    rows: list[Row] = []
    with processes.stub() as stub:
        progress("start-up")
        rows += cases.starts(stub, size)
        with processes.gateway(stub.address) as ours, processes.bare(stub.address) as theirs:
            async with load(ours) as our_load, load(theirs) as their_load:
                pair = Pair(our_load, their_load)
                progress("single calls")
                rows += await cases.unary(pair, size)
                rows += await cases.identical(pair, stub)
                progress("download")
                rows += await cases.download(pair, size)
                progress("upload")
                rows += await cases.upload(pair, size)
                rows.append(cases.after_load(ours))
        progress("memory of a large upload")
        rows += await cases.memory(stub, size)
    return report(rows)


def main() -> int:
    """Run the bench; return the exit status."""
    parser = argparse.ArgumentParser(prog="make bench", description="The gateway beside a bare pipe, on this machine.")
    for name, text in (
        ("rounds", "rounds of each pair"),
        ("calls", "calls in a round"),
        ("members", "members uploaded in a round; thousands"),
        ("many_members", "members of the large upload whose memory is looked at; thousands"),
        ("starts", "starts of the gateway"),
    ):
        default = Size._field_defaults[name]
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, help=f"{text} (%(default)s)")
    size = Size(**vars(parser.parse_args()))
    found = asyncio.run(run(size, lambda text: sys.stderr.write(f"bench: {text} …\n")))
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    sys.stdout.write(table(found) + "\n")
    return 0


if __name__ == "__main__":
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    sys.exit(main())
