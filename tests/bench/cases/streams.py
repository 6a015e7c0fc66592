"""Files on their way to the caller, and members on their way to the vendor."""

from collections.abc import Callable

from tests.bench.answers import DOWNLOAD_BYTES
from tests.bench.figures import Row, at_least, at_most, rounds, single
from tests.bench.load import Load
from tests.bench.pairs import Taken, measure
from tests.bench.servers import Servers
from tests.bench.work import MEMBERS_A_MESSAGE, batch, member_destination
from tests.bench.work import download as whole
from tests.bench.work import upload as members_to

FEW_MEMBERS = 10_000


async def download(servers: Servers) -> list[Row]:
    """Measure a file on its way to the caller."""
    found = await measure(await servers.pair(), whole, servers.size.rounds)
    by_core, by_clock = _by_core(DOWNLOAD_BYTES / 1e6), _by_clock(DOWNLOAD_BYTES / 1e6)
    return [
        rounds("download: bytes/s ÷ bare pipe", found.ratios(by_clock), "", at_least(0.95)),
        rounds("download: bytes/s per core ÷ bare pipe", found.ratios(by_core), ""),
        rounds("download, gateway", list(map(by_clock, found.ours)), "MB/s"),
        rounds("download, bare pipe", list(map(by_clock, found.theirs)), "MB/s"),
    ]


async def upload(servers: Servers) -> list[Row]:
    """Measure members on their way to the vendor."""
    pair, size = await servers.pair(), servers.size
    destination, message = await member_destination(pair.ours), batch()

    async def work(side: Load) -> float:
        return await members_to(side, destination, message, size.members)

    def cpu_us(taken: Taken) -> float:
        return taken.cpu_s / size.members * 1e6

    found = await measure(pair, work, max(1, size.rounds // 2))
    by_core, by_clock = _by_core(size.members), _by_clock(size.members)
    received = _by_clock(len(message) * size.members / MEMBERS_A_MESSAGE / 1e6)
    return [
        rounds("upload: rows/s per core ÷ bare pipe", found.ratios(by_core), "", at_least(0.9)),
        rounds("upload: rows/s ÷ bare pipe", found.ratios(by_clock), ""),
        rounds("upload: CPU per row, gateway", list(map(cpu_us, found.ours)), "µs"),
        rounds("upload: CPU per row, bare pipe", list(map(cpu_us, found.theirs)), "µs"),
        rounds("upload, gateway", list(map(by_clock, found.ours)), "rows/s"),
        rounds("upload, bare pipe", list(map(by_clock, found.theirs)), "rows/s"),
        rounds("upload: received, gateway", list(map(received, found.ours)), "MB/s"),
    ]


def _by_core(amount: float) -> Callable[[Taken], float]:
    return lambda taken: amount / taken.cpu_s


def _by_clock(amount: float) -> Callable[[Taken], float]:
    return lambda taken: amount / taken.value


async def memory(servers: Servers) -> list[Row]:
    """Compare the highest memory of a server that took few members with that of one that took many."""
    many = servers.size.many_members
    async with servers.gateway() as side:
        destination, message = await member_destination(side), batch()
        await members_to(side, destination, message, FEW_MEMBERS)
        few_mib = side.server.memory_mib("VmHWM")
        await members_to(side, destination, message, many)
        many_mib = side.server.memory_mib("VmHWM")
    title = f"upload: peak memory, {many:,} rows"
    return [
        single(f"{title} - {FEW_MEMBERS:,} rows", many_mib - few_mib, "MiB", at_most(16)),
        single(title, many_mib, "MiB"),
    ]
