"""The cases: what is measured, and what it should be. Each is a function from the servers to rows."""

from collections.abc import Awaitable, Callable

from tests.bench.cases import bulkhead, creates, fanout, peers, reads, saturation, starts, streams, watching
from tests.bench.figures import Row
from tests.bench.servers import Servers

CASES: dict[str, Callable[[Servers], Awaitable[list[Row]]]] = {
    "start": starts.start,
    "get": reads.get,
    "list": reads.many,
    "latency": reads.latency,
    "identical": reads.identical,
    "fan-out": fanout.fan_out,
    "create": creates.create,
    "download": streams.download,
    "upload": streams.upload,
    "upload-memory": streams.memory,
    "watch": watching.watch,
    "bulkhead": bulkhead.bulkhead,
    "saturation": saturation.saturation,
    "workers": saturation.workers,
    "peers": peers.peers,
    "memory": starts.memory,
}
