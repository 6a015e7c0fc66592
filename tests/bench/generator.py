"""Load without an end, from several processes, for some seconds: h2load where it is installed, else Python.

Each request has a connection of its own and is sent again as soon as it is answered. h2load takes any answer of HTTP
for a success, an error of gRPC's too; so what the vendors' stub counted is held against what was answered.

As a module, `python -m tests.bench.generator ADDRESS METHOD SECONDS REQUEST…`: one of the processes in Python; prints
{"calls": …}.
"""

import asyncio
import json
import re
import resource
import shutil
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import grpc

from tests.bench.load import METHODS
from tests.bench.processes import AUTHORIZED, Process
from tests.bench.servers import Servers

H2LOAD = shutil.which("h2load")
PROCESSES = 2
TIMEOUT_S = 30.0
FINISHED = re.compile(r"finished in [\d.]+m?s, ([\d.]+) req/s")


class Burst(NamedTuple):
    """What some seconds of load came to."""

    calls: float
    """A second."""
    server_s: float
    """CPU of the server, of these seconds, over all its processes."""
    generator_s: float
    """CPU of the processes that called."""
    stub_s: float
    seconds: float
    """Of load."""
    elapsed_s: float
    """With what it took to start and to end the processes that called."""

    @property
    def by_core(self) -> float:
        """Calls a second of the server's CPU."""
        return self.calls * self.seconds / self.server_s

    @property
    def generators_limit(self) -> float:
        """Calls a second, had the generator a core for itself, its start included."""
        return self.calls * self.seconds / self.generator_s

    @property
    def cores(self) -> tuple[float, float, float]:
        """Cores that the server, the generator and the stub had."""
        return self.server_s / self.elapsed_s, self.generator_s / self.elapsed_s, self.stub_s / self.elapsed_s


async def burst(servers: Servers, server: Process, method: str, requests: Sequence[bytes], seconds: float) -> Burst:
    """Load a server for some seconds."""
    before, spent, started_s = await servers.counted(), _spent(server, servers.stub), time.perf_counter()
    calls = await (_h2load if H2LOAD else _python)(server, method, requests, seconds)
    server_s, stub_s, generator_s = (now - then for now, then in zip(_spent(server, servers.stub), spent, strict=True))
    elapsed_s = time.perf_counter() - started_s
    asked = await servers.counted() - before
    # Half of them: an answer that is no error, but was not asked for, would be a share of one that was.
    assert asked >= calls * seconds / 2, f"{calls * seconds:.0f} answers, but {asked} calls of the vendor"
    return Burst(calls, server_s, generator_s, stub_s, seconds, elapsed_s)


def _spent(server: Process, stub: Process) -> tuple[float, float, float]:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return server.cpu_s(), stub.cpu_s(), ended.ru_utime + ended.ru_stime


async def _h2load(server: Process, method: str, requests: Sequence[bytes], seconds: float) -> float:
    """Return calls a second."""
    headers = [("content-type", "application/grpc"), ("te", "trailers"), *AUTHORIZED]
    options = [f"-H{name}: {value}" for name, value in headers]
    url = f"http://{server.address}{METHODS}{method}"
    with TemporaryDirectory() as folder:
        commands = []
        for number, request in enumerate(requests):
            frame = Path(folder) / str(number)
            frame.write_bytes(struct.pack(">BI", 0, len(request)) + request)
            commands.append(["h2load", "-c1", "-m1", f"-D{seconds * 1000:.0f}ms", f"-d{frame}", *options, url])
        said = await asyncio.gather(*map(_output, commands))
    found = [FINISHED.search(text) for text in said]
    return sum(float(match[1]) for match in found if match)


async def _python(server: Process, method: str, requests: Sequence[bytes], seconds: float) -> float:
    """Return calls a second."""
    module = [sys.executable, "-m", "tests.bench.generator", server.address, method, str(seconds)]
    shares = [[request.hex() for request in requests[first::PROCESSES]] for first in range(PROCESSES)]
    said = await asyncio.gather(*(_output([*module, *share]) for share in shares if share))
    return float(sum(json.loads(text)["calls"] for text in said)) / seconds


async def _output(command: list[str]) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    assert process.returncode == 0, command
    return said.decode()


async def _generate(address: str, method: str, seconds: float, requests: list[bytes]) -> int:
    ends_s = time.monotonic() + seconds

    async def one_after_another(request: bytes) -> int:
        calls = 0
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHODS + method)
            while time.monotonic() < ends_s:
                await call(request, metadata=AUTHORIZED, timeout=TIMEOUT_S)
                calls += 1
        return calls

    return sum(await asyncio.gather(*map(one_after_another, requests)))


if __name__ == "__main__":
    address, method, seconds, *encoded = sys.argv[1:]
    made = asyncio.run(_generate(address, method, float(seconds), [bytes.fromhex(text) for text in encoded]))
    sys.stdout.write(json.dumps({"calls": made}) + "\n")
