"""`make bench`: the gateway beside a bare pipe that does the same by hand. Nothing here is a test: it only measures.

Prints a table, and writes build/bench.json. Exit status: 0 also where targets are missed.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Collection
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import msgspec

from tests.bench import readme
from tests.bench.cases import CASES
from tests.bench.figures import Report, Row, report, single, table, targets
from tests.bench.profiles import PROFILED, profile
from tests.bench.servers import QUICK, Servers, Size
from tests.bench.soak import soak

OUTPUT = Path("build/bench.json")
SOME = Path("build/bench-some.json")
"""Of a run of single cases, which must not pass for the whole."""
SOAKED = Path("build/bench-soak.json")
SIZES = {
    "rounds": "rounds of each pair",
    "calls": "calls in a round",
    "members": "members uploaded in a round; thousands",
    "many_members": "members of the large upload whose memory is looked at; thousands",
    "starts": "starts of the gateway",
    "watchers": "watchers of one job, at most",
    "seconds": "seconds of a round that is measured by the clock",
}


async def run(size: Size, names: Collection[str] = CASES) -> AsyncGenerator[tuple[str, list[Row]]]:
    """Measure the cases; yield each with its figures. All of them take some minutes."""
    async with AsyncExitStack() as stack:
        servers = Servers(stack, size)
        for name in CASES:
            if name in names:
                yield name, await CASES[name](servers)


def main() -> int:
    """Run the bench; return the exit status."""
    options = _parser().parse_args()
    if options.readme:
        readme.write(OUTPUT, SOAKED)
        return 0
    if options.profile:
        sys.stdout.write(asyncio.run(profile(options.profile)) + "\n")
        return 0
    if options.soak:
        found = asyncio.run(soak(options.soak))
        _write(found, SOAKED)
        return 0
    given = {name: getattr(options, name) for name in SIZES if getattr(options, name) is not None}
    size = (QUICK if options.quick else Size())._replace(**given)
    asyncio.run(_measure(size, options.only or CASES))
    return 0


async def _measure(size: Size, names: Collection[str]) -> None:
    """Run the cases and tell what was measured, even where one of them fails."""
    rows = [single("load average of the machine before", os.getloadavg()[0], "")]
    measured = set()
    try:
        async with aclosing(run(size, names)) as cases:
            async for name, found in cases:
                sys.stderr.write(f"bench: {name} is done\n")
                measured.add(name)
                rows += found
    finally:
        _write(report(rows), OUTPUT if measured == set(CASES) else SOME)


def _write(found: Report, file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    sys.stdout.write(f"{table(found)}\n\n{targets(found)}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description="The gateway beside a bare pipe, on this machine.")
    parser.add_argument("--only", metavar="CASE", action="append", choices=CASES, help=f"one of {', '.join(CASES)}")
    parser.add_argument("--quick", action="store_true", help="less of everything: a first look")
    for name, text in SIZES.items():
        default, quick = Size._field_defaults[name], getattr(QUICK, name)
        usual = f"({default}, with --quick {quick})"
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), metavar="N", help=f"{text} {usual}")
    parser.add_argument("--profile", metavar="CASE", choices=PROFILED, help=f"only that: one of {', '.join(PROFILED)}")
    parser.add_argument("--soak", metavar="MINUTES", type=float, help="only that: whether memory stays as it is")
    parser.add_argument("--readme", action="store_true", help=f"only that: put {OUTPUT} and {SOAKED} into README.md")
    return parser


if __name__ == "__main__":
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    sys.exit(main())
