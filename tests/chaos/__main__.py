"""Kill the gateway again and again, and count what became of every call: `make chaos`."""

import argparse
import asyncio
import os
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.chaos.run import run


def main() -> int:
    """Run; print what was found and one closing line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="make chaos", description="Kills the gateway, and counts what became of all calls."
    )
    parser.add_argument("--kills", type=int, default=500, help="at least so many (default: %(default)s)")
    parser.add_argument("--lanes", type=int, default=4, help="gateways at once (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32), help="of all chance")
    parser.add_argument(
        "--store", choices=("sqlite", "postgresql", "memory"), default="sqlite", help="memory has to fail"
    )
    options = parser.parse_args()
    url = os.environ.get("TEST_POSTGRES_URL", "")
    if options.store == "postgresql" and not url:
        parser.error("postgresql needs TEST_POSTGRES_URL")
    sys.stderr.write(f"seed {options.seed}, {options.store}, {options.lanes} at once\n")
    with TemporaryDirectory() as folder:
        totals = asyncio.run(
            run(Path(folder), kills=options.kills, lanes=options.lanes, seed=options.seed, store=options.store, url=url)
        )
    phases = ", ".join(f"{phase} {count}" for phase, count in totals.phases.most_common())
    lines = [*totals.findings, f"calls at the kills: {phases}", str(totals)]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if totals.ok and totals.kills >= options.kills else 1


if __name__ == "__main__":
    sys.exit(main())
