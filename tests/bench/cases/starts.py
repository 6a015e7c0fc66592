"""Start-up, and what the gateway holds before and after it was asked for much."""

from tests.bench import processes
from tests.bench.figures import Row, at_most, rounds, single
from tests.bench.processes import Setup
from tests.bench.servers import EVERY_VENDOR, Servers
from tests.bench.work import GETS, IN_FLIGHT, LISTS, SHOPS, batch, create, download, member_destination, upload


async def start(servers: Servers) -> list[Row]:
    """Measure the gateway's start, and what it holds before anybody called."""
    ready_s, cpu_s, idle_mib = [], [], []
    for _ in range(servers.size.starts):
        with processes.gateway(servers.stub.address) as server:
            ready_s.append(server.ready_s)
            cpu_s.append(server.cpu_s())
            idle_mib.append(server.memory_mib())
    return [
        rounds("start to ready", ready_s, "s", at_most(1)),
        rounds("start to ready, CPU", cpu_s, "s"),
        rounds("resident memory, idle", idle_mib, "MiB", at_most(90)),
    ]


async def memory(servers: Servers) -> list[Row]:
    """Measure what the gateway holds after some of everything."""
    calls = servers.size.calls * 5
    async with servers.gateway(Setup(accounts=(*EVERY_VENDOR, *SHOPS))) as side:
        before_mib = side.server.memory_mib()
        for kind in (GETS, LISTS):
            await side.calls(kind.method, kind.requests, calls, IN_FLIGHT)
        await create(side, calls)
        await download(side)
        await upload(side, await member_destination(side), batch(), servers.size.members)
        after_mib = side.server.memory_mib()
    return [
        single("resident memory, after load", after_mib, "MiB"),
        single(f"resident memory, after load - before, {len(SHOPS)} connections more", after_mib - before_mib, "MiB"),
    ]
