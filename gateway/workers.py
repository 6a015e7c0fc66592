"""Several processes that serve one address: a launcher that starts them anew when they end, and its workers.

Each worker is a fresh interpreter, since gRPC does not survive a fork, and binds the address for itself with
SO_REUSEPORT: the kernel spreads connections, not calls, over them. The launcher loads no gRPC and serves nothing.
"""

import asyncio
import logging
import os
import pickle
import secrets
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, NamedTuple

from msgspec.structs import replace

from adapters import registry
from adapters.rates import Rate
from adapters.secrets import Secret
from gateway import addresses, logs
from gateway.decoding import Mistake
from gateway.running import run
from gateway.serving import CanNotListen, serve, signalled
from gateway.settings import ConfiguredConnection, Settings, SettingsError

LOG = logging.getLogger("gateway")

FIRST_WAIT_S = 0.5
MAX_WAIT_S = 30.0
SETTLED_S = 60.0
"""A worker that served for as long is started anew as if it were the first time."""
FAILED = 1
PLACES = ("concurrency", "polling_concurrency", "download_concurrency")
"""Of each, every worker has at least one."""


class WorkerFailed(Exception):
    """A worker ended before it ever served; why, it said itself."""


class Order(NamedTuple):
    """What the launcher hands a worker, the whole of the configuration included: a file may have changed since."""

    number: int
    settings: Settings
    log_format: str
    log_level: str


async def launch(
    settings: Settings, count: int, ready: Callable[[str], None], *, log_format: str, log_level: str
) -> None:
    """Serve by *count* workers until SIGTERM or SIGINT, which all of them get; *ready* is told the address.

    Raises:
        SettingsError: The configuration does not allow for more than one process.
        CanNotListen: With the reason.
        WorkerFailed: One of them did not come up; the others are stopped.
    """
    if mistakes := _mistakes(settings, count):
        raise SettingsError(f"--workers {count}", mistakes)
    stop = signalled()
    try:
        reserved, address = addresses.reserve(settings.listen)
    except OSError as error:
        raise CanNotListen(settings.listen, error) from None
    with reserved:
        common = _shared(replace(settings, listen=address))
        numbers = range(1, count + 1)
        workers = [_Worker(Order(one, _share(common, one, count), log_format, log_level)) for one in numbers]
        kept = [asyncio.create_task(worker.keep()) for worker in workers]
        try:
            await _first(_all_up(workers), stop.wait(), *kept)
            if not stop.is_set():
                ready(address)
            await _first(stop.wait(), *kept)
            LOG.info("stopping")
        finally:
            for worker in workers:
                worker.stop()
            await asyncio.gather(*kept, return_exceptions=True)


class _Worker:
    """One of the processes, and those that take its place."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._process: Process | None = None
        self._stopping = asyncio.Event()
        self.up = asyncio.Event()
        """Set when it serves for the first time."""

    async def keep(self) -> None:
        """Have it run until `stop` is called and it has ended."""
        loop = asyncio.get_running_loop()
        wait_s = FIRST_WAIT_S
        while not self._stopping.is_set():
            started_s = loop.time()
            try:
                status: int | str = await self._run()
            except OSError as error:
                # No process, or no memory for one: others serve, and there may be room later.
                status = str(error)
            if self._stopping.is_set():
                return
            if not self.up.is_set():
                raise WorkerFailed(f"worker {self._order.number} ended with status {status} before it served")
            wait_s = FIRST_WAIT_S if loop.time() - started_s >= SETTLED_S else wait_s
            self._log(logging.ERROR, "a worker ended", exit_status=status, restart_in_s=wait_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait_s)
            wait_s = min(2 * wait_s, MAX_WAIT_S)

    def stop(self) -> None:
        """Tell it to end; it may take the time that the configuration gives it."""
        self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)

    async def _run(self) -> int:
        """Run one process to its end; return its exit status."""
        # In a session of its own: Ctrl-C goes to all of a group, and it would get that and our signal for a second.
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, stdin=PIPE, stdout=PIPE, start_new_session=True
        )
        if self._stopping.is_set():
            self.stop()
        assert process.stdin is not None  # noqa: S101 - as asked for above
        assert process.stdout is not None  # noqa: S101 - the same
        # The last is uvloop's word for a pipe that is closed.
        with suppress(BrokenPipeError, ConnectionResetError, RuntimeError):
            process.stdin.write(pickle.dumps(self._order))
            await process.stdin.drain()
        if await process.stdout.readline():
            self._log(logging.INFO, "a worker serves", pid=process.pid)
            self.up.set()
        return await process.wait()

    def _log(self, level: int, message: str, **fields: object) -> None:
        LOG.log(level, message, extra={"fields": {"worker": self._order.number, **fields}})


async def _all_up(workers: list[_Worker]) -> None:
    for worker in workers:
        await worker.up.wait()


async def _first(*awaited: "Coroutine[Any, Any, object] | asyncio.Task[None]") -> None:
    """Wait until one of them is done, and raise what it raised; coroutines are then cancelled, tasks go on."""
    tasks = [one if isinstance(one, asyncio.Task) else asyncio.create_task(one) for one in awaited]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task, one in zip(tasks, awaited, strict=True):
        if task is not one:
            task.cancel()
    for task in done:
        task.result()


def _mistakes(settings: Settings, count: int) -> list[Mistake]:
    """Return what keeps so many processes from serving together."""
    found = []
    if addresses.is_socket_file(settings.listen):
        found.append(Mistake("listen", "a socket file is served by one process: HOST:PORT, or one worker"))
    if settings.ledger.store == "memory":
        text = "each worker would know its own requests alone, and a repeated one run again: sqlite or postgresql"
        found.append(Mistake("ledger.store", text))
    for index, connection in enumerate(settings.connections if settings.redis is None else ()):
        for kind, rate in _rates(connection).items():
            if 0 < rate.calls < count:
                text = f"{rate.calls} calls are too few for {count} workers: [redis] counts for all of them, or fewer"
                found.append(Mistake(f"connections[{index}].rates.{kind}", text))
    return found


def _shared(settings: Settings) -> Settings:
    """Return *settings* with what workers have to have in common."""
    server = settings.server
    if not server.page_token_keys:
        # The next page may be asked of any of them.
        server = replace(server, page_token_keys=(Secret(secrets.token_hex(32)),))
    return replace(settings, server=server)


def _share(settings: Settings, number: int, count: int) -> Settings:
    """Return *settings* for one worker: what its connections may do, so that all together keep to the whole."""
    connections = []
    for connection in settings.connections:
        whole = connection.policy
        policy = replace(
            whole,
            **{name: max(1, _part(getattr(whole, name), number, count)) for name in PLACES},
            queue=_part(whole.queue, number, count),
            # Each worker that somebody follows a job at has a poller for it.
            polling_interval_s=count * max(whole.polling_interval_s, _least_s(connection)),
            # Less than an attempt costs would buy none, ever.
            retry_tokens=max(whole.retry_tokens / count, min(whole.retry_tokens, whole.retry_cost)),
        )
        rates = _rates(connection)
        if settings.redis is None:
            rates = {kind: replace(rate, calls=_part(rate.calls, number, count)) for kind, rate in rates.items()}
        connections.append(replace(connection, policy=policy, rates=rates))
    return replace(settings, connections=tuple(connections))


def _part(whole: int, number: int, count: int) -> int:
    """Return what the worker of this number gets of *whole*, of which nothing is left over."""
    return whole // count + (number <= whole % count)


def _rates(connection: ConfiguredConnection) -> dict[str, Rate]:
    """Return how many calls the connection makes in a time, by class: as configured, else as its vendor takes them."""
    return {**registry.adapters()[connection.vendor].rates, **connection.rates}


def _least_s(connection: ConfiguredConnection) -> float:
    """Return how long its vendor wants to be left alone between two looks at one job, in seconds."""
    return registry.adapters()[connection.vendor].limits.min_poll_interval_s


def main() -> int:
    """Be a worker: read the order from standard input, serve, and say so in a line on standard output."""
    order: Order = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the launcher, which started this process
    logs.configure(form=order.log_format, level=order.log_level, fields={"worker": order.number})
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        run(_work(order))
    except CanNotListen as error:
        LOG.error(str(error))  # noqa: TRY400 - the traceback says nothing more
        return FAILED
    return 0


async def _work(order: Order) -> None:
    loop = asyncio.get_running_loop()

    def left_alone() -> None:
        """Do as if the launcher, which ended without a signal to pass on, had passed one on."""
        loop.remove_reader(sys.stdin)
        signal.raise_signal(signal.SIGTERM)

    def ready(address: str) -> None:
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        loop.add_reader(sys.stdin, left_alone)

    await serve(order.settings, ready, reuse_port=True)


if __name__ == "__main__":
    sys.exit(main())
