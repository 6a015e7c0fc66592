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

from audiencegateway.v1 import connections_pb2 as pb
from audiencegateway.v1.connections_pb2_grpc import ConnectionServiceStub
from audiencegateway.v1.destinations_pb2 import ListDestinationsRequest
from audiencegateway.v1.destinations_pb2_grpc import DestinationServiceStub
from gateway.__main__ import main
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
        pages = [stub.ListDestinations(asked, timeout=30) for stub in stubs]
        ended = process.end(signal.SIGTERM)
    assert pages == [pages[0]] * CONNECTIONS
    assert pages[0].destinations != first.destinations
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
    assert (gone, left) == (started, [])


def test_a_call_under_way_ends_before_its_worker_does() -> None:
    with running(*SANDBOX) as process:
        line = process.line()
        workers = [psutil.Process(pid) for pid in pids(process).values()]
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
        assert psutil.wait_procs(workers, timeout=LIMIT_S)[1] == []


def test_a_second_signal_ends_all_of_them_at_once(tmp_path: Path, simulator: str) -> None:
    keys, environ = connection(simulator)
    config = write(tmp_path, {"listen": "127.0.0.1:0", "server": {"shutdown_drain_s": 600}, "connections": [keys]})
    with running("serve", "--config", config, *TWO, **environ) as process:
        workers = [psutil.Process(pid) for pid in pids(process).values()]
        process.popen.send_signal(signal.SIGTERM)
        for _ in range(3):
            process.record("stopping")
        assert process.end(signal.SIGTERM).exit_status == -signal.SIGTERM
        assert psutil.wait_procs(workers, timeout=LIMIT_S)[1] == []


def test_workers_do_not_outlive_the_process_that_started_them() -> None:
    with running(*SANDBOX) as process:
        workers = [psutil.Process(pid) for pid in pids(process).values()]
        process.popen.kill()
        assert psutil.wait_procs(workers, timeout=LIMIT_S)[1] == []


def test_a_taken_port_is_told_in_one_line_also_where_it_is_shared() -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run("sandbox", "--listen", address, *TWO)
    assert ended == (1, "", f"audience-gateway: can't listen on {address}: Address already in use\n")


def test_a_socket_file_is_served_by_one_process(tmp_path: Path) -> None:
    ended = run("sandbox", "--listen", f"unix:{tmp_path}/gateway.sock", *TWO)
    assert (ended.exit_status, ended.stdout) == (2, "")
    assert ended.stderr.splitlines()[1].startswith("  listen: a socket file is served by one process")


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_there_is_at_least_one_worker(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sandbox", "--workers", text])
    assert ended.value.code == 2
    assert "must be a whole number from 1" in capsys.readouterr().err


def test_an_interrupt_from_the_terminal_reaches_the_launcher_alone() -> None:
    with running(*SANDBOX) as process:
        workers = pids(process).values()
        # A terminal sends it to a whole group; from that and the launcher's signal a worker would see a second one.
        assert os.getpgid(process.popen.pid) not in {os.getpgid(pid) for pid in workers}
        assert process.end(signal.SIGINT).exit_status == 0
