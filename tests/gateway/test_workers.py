"""Several processes behind one address, as an operator starts, kills and stops them."""

import json
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from adapters import registry
from adapters.policy import Policy
from adapters.rates import Rate
from adapters.secrets import Secret
from audiencegateway.v1 import connections_pb2 as pb
from audiencegateway.v1.connections_pb2_grpc import ConnectionServiceStub
from audiencegateway.v1.destinations_pb2 import Destination, ListDestinationsRequest, UpdateDestinationRequest
from audiencegateway.v1.destinations_pb2_grpc import DestinationServiceStub
from gateway import workers
from gateway.__main__ import main
from gateway.settings import ConfiguredConnection, LedgerSettings, RedisSettings, ServerSettings, Settings
from tests.gateway.acme import toml
from tests.gateway.processes import LIMIT_S, Process, connection, control, requests, run, running, vendor

TWO = ("--workers", "2")
SANDBOX = ("sandbox", "--listen", "127.0.0.1:0", "--log-format", "json", *TWO)
CONNECTIONS = 24
"""So many that all of them go to the same one of two workers once in eight million runs."""


def write(folder: Path, document: Mapping[str, object]) -> str:
    path = folder / "gateway.toml"
    path.write_text("".join(f"{name} = {toml(value)}\n" for name, value in document.items()))
    return str(path)


@pytest.fixture(scope="module")
def simulator() -> Iterator[str]:
    with running("simulate", vendor()) as process:
        yield process.line()["simulators"][vendor()]


def channels(stack: ExitStack, address: str) -> list[grpc.Channel]:
    """Return channels with a connection each, which the kernel spreads over the workers."""
    alone = [("grpc.use_local_subchannel_pool", 1)]
    return [stack.enter_context(grpc.insecure_channel(address, alone)) for _ in range(CONNECTIONS)]


def access(stderr: str, method: str) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in stderr.splitlines()]
    return [one for one in records if one["logger"] == "gateway.access" and method in json.dumps(one)]


def pids(process: Process) -> dict[int, int]:
    """Return the process of each worker, once all serve."""
    return {one["worker"]: one["pid"] for one in (process.record("a worker serves") for _ in range(2))}


def test_workers_share_the_address_and_their_lines_say_which(tmp_path: Path, simulator: str) -> None:
    keys, environ = connection(simulator)
    config = write(tmp_path, {"listen": "127.0.0.1:0", "connections": [keys]})
    with running("serve", "--config", config, *TWO, **environ) as process, ExitStack() as stack:
        ready = process.record("ready")
        assert ready["workers"] == 2
        for channel in channels(stack, ready["address"]):
            health: Any = health_pb2_grpc.HealthStub(channel)
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=30)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            ConnectionServiceStub(channel).ListConnections(pb.ListConnectionsRequest(), timeout=30)
        ended = process.end(signal.SIGTERM)
    assert (ended.exit_status, ended.stdout) == (0, "")
    served = [record["worker"] for record in access(ended.stderr, "ListConnections")]
    assert (len(served), set(served)) == (CONNECTIONS, {1, 2})


def test_the_next_page_may_be_asked_of_any_worker() -> None:
    with running(*SANDBOX) as process, ExitStack() as stack:
        address = process.line()["grpc"]
        stubs = [DestinationServiceStub(channel) for channel in channels(stack, address)]
        asked = ListDestinationsRequest(parent=f"connections/{vendor()}", page_size=1)
        first = stubs[0].ListDestinations(asked, timeout=30)
        asked.page_token = first.next_page_token
        pages = [stub.ListDestinations(asked, timeout=30).destinations for stub in stubs]
        ended = process.end(signal.SIGTERM)
    assert pages == [pages[0]] * CONNECTIONS
    assert pages[0] != first.destinations
    assert {record["worker"] for record in access(ended.stderr, "ListDestinations")} == {1, 2}


def test_a_worker_that_dies_is_started_again() -> None:
    with running(*SANDBOX) as process:
        address = process.line()["grpc"]
        before = pids(process)
        psutil.Process(before[2]).kill()
        ended = process.record("a worker ended")
        assert (ended["level"], ended["worker"], ended["exit_status"]) == ("error", 2, -signal.SIGKILL)
        assert ended["restart_in_s"] > 0
        again = process.record("a worker serves")
        assert again["worker"] == 2
        assert again["pid"] not in before.values()
        with ExitStack() as stack:
            for channel in channels(stack, address):
                ConnectionServiceStub(channel).ListConnections(pb.ListConnectionsRequest(), timeout=30)
        ended_well = process.end(signal.SIGTERM)
    assert ended_well.exit_status == 0
    assert {record["worker"] for record in access(ended_well.stderr, "ListConnections")} == {1, 2}


def test_a_worker_that_dies_again_is_waited_for_longer() -> None:
    with running(*SANDBOX) as process:
        process.line()
        doomed = pids(process)[1]
        waits = []
        for _ in range(2):
            psutil.Process(doomed).kill()
            waits.append(process.record("a worker ended")["restart_in_s"])
            doomed = process.record("a worker serves")["pid"]
        assert waits == [waits[0], 2 * waits[0]]


def test_a_worker_that_never_comes_up_ends_all_of_them() -> None:
    with running(*SANDBOX) as process:
        launcher = psutil.Process(process.popen.pid)
        while not (started := launcher.children()):
            pass
        started[0].kill()
        ended = process.end()
        gone, left = psutil.wait_procs(started, timeout=LIMIT_S)
    assert ended.exit_status == 1
    assert ended.stdout == ""
    assert "ended with status -9 before it served" in ended.stderr.splitlines()[-1]
    assert (set(gone), left) == (set(started), [])


def test_a_call_under_way_ends_before_its_worker_does() -> None:
    with running(*SANDBOX) as process:
        line = process.line()
        serving = [psutil.Process(pid) for pid in pids(process).values()]
        name, url = next(iter(line["simulators"].items()))
        control(url, "faults", {"path": "*", "delay_s": 0.7})
        with grpc.insecure_channel(line["grpc"]) as channel:
            asked = pb.CheckConnectionRequest(name=f"connections/{name}")
            call = ConnectionServiceStub(channel).CheckConnection.future(asked, timeout=30)
            while not requests(url):
                pass
            process.popen.send_signal(signal.SIGTERM)
            assert call.result().HasField("check_time")
        assert process.end().exit_status == 0
        assert psutil.wait_procs(serving, timeout=LIMIT_S)[1] == []


def test_a_second_signal_ends_all_of_them_at_once(tmp_path: Path, simulator: str) -> None:
    keys, environ = connection(simulator)
    config = write(tmp_path, {"listen": "127.0.0.1:0", "server": {"shutdown_drain_s": 600}, "connections": [keys]})
    with running("serve", "--config", config, *TWO, **environ) as process:
        serving = [psutil.Process(pid) for pid in pids(process).values()]
        process.popen.send_signal(signal.SIGTERM)
        for _ in range(3):
            process.record("stopping")
        assert process.end(signal.SIGTERM).exit_status == -signal.SIGTERM
        assert psutil.wait_procs(serving, timeout=LIMIT_S)[1] == []


def test_workers_do_not_outlive_the_process_that_started_them() -> None:
    with running(*SANDBOX) as process:
        serving = [psutil.Process(pid) for pid in pids(process).values()]
        process.popen.kill()
        assert psutil.wait_procs(serving, timeout=LIMIT_S)[1] == []


def test_a_taken_port_is_told_in_one_line_also_where_it_is_shared() -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run("sandbox", "--listen", address, *TWO)
    assert ended == (1, "", f"audience-gateway: can't listen on {address}: Address already in use\n")


def test_a_socket_file_is_served_by_one_process(tmp_path: Path) -> None:
    ended = run("sandbox", "--listen", f"unix:{tmp_path}/gateway.sock", *TWO)
    assert (ended.exit_status, ended.stdout) == (2, "")
    assert ended.stderr.splitlines()[1].startswith("  listen: a socket file is served by one process")


def test_workers_share_no_memory(tmp_path: Path, simulator: str) -> None:
    keys, environ = connection(simulator)
    document = {"listen": "127.0.0.1:0", "ledger": {"store": "memory"}, "connections": [keys]}
    ended = run("serve", "--config", write(tmp_path, document), *TWO, **environ)
    assert (ended.exit_status, ended.stdout) == (2, "")
    assert ended.stderr.startswith(
        "--workers 2: 1 mistake\n  ledger.store: each worker would know its own requests alone"
    )


def test_a_request_id_is_known_to_every_worker() -> None:
    with running(*SANDBOX) as process, ExitStack() as stack:
        address = process.line()["grpc"]
        parent, name = f"connections/{vendor()}", registry.sandbox(vendor())().suite["destination_id"]
        change = Destination(name=f"{parent}/destinations/{name}", display_name="Changed once")
        asked = UpdateDestinationRequest(destination=change, request_id="5b0cf0ea-7d3e-4a53-9a9e-0f2f9f6f7c11")
        stubs = [DestinationServiceStub(channel) for channel in channels(stack, address)]
        stubs[0].UpdateDestination(asked, timeout=30)
        asked.destination.display_name = "Changed again"
        for stub in stubs:
            with pytest.raises(grpc.RpcError) as refused:
                stub.UpdateDestination(asked, timeout=30)
            assert "came with another request before" in str(refused.value.details())
        ended = process.end(signal.SIGTERM)
    assert {record["worker"] for record in access(ended.stderr, "UpdateDestination")} == {1, 2}


def settings(**changes: object) -> Settings:
    """Return those of one connection, whose vendor's settings nobody looks at."""
    keys: dict[str, Any] = {"id": "main", "vendor": vendor(), "settings": ServerSettings(), **changes}
    return Settings(ledger=LedgerSettings(), connections=(ConfiguredConnection(**keys),))


sizes = st.integers(1, 100)
policies = st.builds(
    Policy,
    concurrency=sizes,
    polling_concurrency=sizes,
    download_concurrency=sizes,
    queue=st.integers(0, 100),
    retry_tokens=st.floats(0, 50),
    retry_cost=st.just(0.0),
)


@given(st.integers(1, 16), policies, st.integers(16, 500))
def test_together_workers_keep_to_what_one_would(count: int, policy: Policy, calls: int) -> None:
    whole = settings(policy=policy, rates={"reads": Rate(calls), "writes": Rate(0)})
    shares = [workers._share(whole, number, count).connections[0] for number in range(1, count + 1)]
    for name in ("concurrency", "polling_concurrency", "download_concurrency"):
        parts = [getattr(share.policy, name) for share in shares]
        assert min(parts) >= 1
        assert sum(parts) == max(count, getattr(policy, name))
    assert sum(share.policy.queue for share in shares) == policy.queue
    assert sum(share.policy.retry_tokens for share in shares) == pytest.approx(policy.retry_tokens)
    assert sum(share.rates["reads"].calls for share in shares) == calls
    assert min(share.rates["reads"].calls for share in shares) >= 1
    assert {share.rates["writes"].calls for share in shares} == {0}


@given(st.integers(1, 16), st.floats(0, 100))
def test_together_workers_ask_for_a_job_no_more_often_than_one_would(count: int, configured_s: float) -> None:
    whole = settings(policy=Policy(polling_interval_s=configured_s))
    least_s = registry.adapters()[vendor()].limits.min_poll_interval_s
    for number in range(1, count + 1):
        share = workers._share(whole, number, count).connections[0]
        assert share.policy.polling_interval_s == pytest.approx(count * max(configured_s, least_s))


@pytest.mark.parametrize("failures", [1, 3])
async def test_a_worker_that_can_not_be_started_again_is_tried_again(
    failures: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    worker = workers._Worker(workers.Order(1, settings(), "json", "info"))
    outcomes: list[int | OSError] = [-9, *[BlockingIOError(11, "no process left")] * failures, 0]

    async def run() -> int:
        """Serve as the next outcome says; at the last, be told to stop."""
        worker.up.set()
        outcome = outcomes.pop(0)
        if not outcomes:
            worker.stop()
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    monkeypatch.setattr(worker, "_run", run)
    monkeypatch.setattr(workers, "FIRST_WAIT_S", 0.0)
    await worker.keep()

    ended = [record.__dict__["fields"]["exit_status"] for record in caplog.records]
    assert ended == [-9, *["[Errno 11] no process left"] * failures]


async def test_a_worker_that_can_not_be_started_at_all_never_came_up(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = workers._Worker(workers.Order(1, settings(), "json", "info"))

    async def run() -> int:
        raise BlockingIOError(11, "no process left")

    monkeypatch.setattr(worker, "_run", run)
    with pytest.raises(workers.WorkerFailed, match="no process left"):
        await worker.keep()


def test_what_redis_counts_is_not_divided() -> None:
    redis = RedisSettings(url=Secret("redis://127.0.0.1"))
    whole = replace(settings(rates={"reads": Rate(3)}), redis=redis)
    assert workers._share(whole, 1, 8).connections[0].rates["reads"] == Rate(3)
    assert workers._mistakes(whole, 8) == []


def test_a_rate_that_can_not_be_divided_is_a_mistake() -> None:
    (mistake,) = workers._mistakes(settings(rates={"reads": Rate(3)}), 4)
    assert mistake.key == "connections[0].rates.reads"
    assert mistake.text.startswith("3 calls are too few for 4 workers")
    assert workers._mistakes(settings(rates={"reads": Rate(4), "writes": Rate(0)}), 4) == []


def test_a_worker_can_always_repeat_something() -> None:
    shared = workers._share(settings(policy=Policy(retry_tokens=2.0, retry_cost=1.0)), 1, 8)
    assert shared.connections[0].policy.retry_tokens == 1.0


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_there_is_at_least_one_worker(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sandbox", "--workers", text])
    assert ended.value.code == 2
    assert "must be a whole number from 1" in capsys.readouterr().err


def test_an_interrupt_from_the_terminal_reaches_the_launcher_alone() -> None:
    with running(*SANDBOX) as process:
        serving = pids(process).values()
        # A terminal sends it to a whole group; from that and the launcher's signal a worker would see a second one.
        assert os.getpgid(process.popen.pid) not in {os.getpgid(pid) for pid in serving}
        assert process.end(signal.SIGINT).exit_status == 0
