"""The command line, end to end: real processes, real ports, real signals."""

import hashlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from adapters import registry
from audiencegateway.v1 import connections_pb2 as pb
from audiencegateway.v1.connections_pb2_grpc import ConnectionServiceStub
from gateway.__main__ import main
from tests.gateway.acme import toml
from tests.gateway.processes import Ended, Process, connection, control, requests, run, running, vendor

KEY = "obviously-fake-caller-key"
SANDBOX = ("sandbox", "--listen", "127.0.0.1:0")


def write(folder: Path, document: Mapping[str, object]) -> str:
    path = folder / "gateway.toml"
    path.write_text("".join(f"{name} = {toml(value)}\n" for name, value in document.items()))
    return str(path)


@pytest.fixture(scope="module")
def simulator() -> Iterator[str]:
    with running("simulate", vendor()) as process:
        yield process.line()["simulators"][vendor()]


def check_connection(channel: grpc.Channel, name: str, metadata: tuple[tuple[str, str], ...] = ()) -> Any:
    return ConnectionServiceStub(channel).CheckConnection.future(
        pb.CheckConnectionRequest(name=f"connections/{name}"), timeout=30, wait_for_ready=True, metadata=metadata
    )


# --- sandbox -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_sandbox_serves_every_vendor_and_ends_well(number: signal.Signals) -> None:
    with running(*SANDBOX) as process:
        line = process.line()
        assert line.keys() == {"grpc", "simulators"}
        assert list(line["simulators"]) == list(registry.adapters())
        with grpc.insecure_channel(line["grpc"]) as channel:
            listed = ConnectionServiceStub(channel).ListConnections(pb.ListConnectionsRequest(), timeout=30)
            assert [one.name for one in listed.connections] == sorted(f"connections/{v}" for v in registry.adapters())
            for name, url in line["simulators"].items():
                assert requests(url) == []
                assert check_connection(channel, name).result().HasField("check_time")
                # One call, and the login before it where there is one.
                assert {entry["status"] for entry in requests(url)} == {200}
        ended = process.end(number)
    assert (ended.exit_status, ended.stdout) == (0, "")
    assert "Traceback" not in ended.stderr


def test_the_sandbox_answers_reflection() -> None:
    with running(*SANDBOX) as process, grpc.insecure_channel(process.line()["grpc"]) as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="*")
        answer = next(iter(stub.ServerReflectionInfo(iter([asked]), timeout=30)))
        names = {service.name for service in answer.list_services_response.service}
        assert "audiencegateway.v1.ConnectionService" in names


def test_a_call_under_way_ends_before_the_process_does() -> None:
    with running(*SANDBOX) as process:
        line = process.line()
        name, url = next(iter(line["simulators"].items()))
        control(url, "faults", {"path": "*", "delay_s": 0.7})
        with grpc.insecure_channel(line["grpc"]) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=30)
            states = (answer.status for answer in watch)
            assert next(states) == health_pb2.HealthCheckResponse.SERVING
            call = check_connection(channel, name)
            while not requests(url):
                pass
            process.popen.send_signal(signal.SIGTERM)
            assert next(states) == health_pb2.HealthCheckResponse.NOT_SERVING
            assert not call.done()
            watch.cancel()
            assert call.result().HasField("check_time")
        assert process.end().exit_status == 0


def test_a_call_that_takes_longer_than_the_grace_holds_nothing_up() -> None:
    with running(*SANDBOX) as process:
        line = process.line()
        name, url = next(iter(line["simulators"].items()))
        control(url, "faults", {"path": "*", "delay_s": 600, "count": 0})
        with grpc.insecure_channel(line["grpc"]) as channel:
            call = check_connection(channel, name)
            while not requests(url):
                pass
            assert process.end(signal.SIGTERM).exit_status == 0
            assert call.code() is not grpc.StatusCode.OK


def test_a_second_signal_ends_the_process_at_once(tmp_path: Path, simulator: str) -> None:
    keys, environ = connection(simulator)
    config = write(tmp_path, {"listen": "127.0.0.1:0", "server": {"shutdown_drain_s": 600}, "connections": [keys]})
    with running("serve", "--config", config, **environ) as process:
        process.record("ready")
        process.popen.send_signal(signal.SIGTERM)
        process.record("stopping")
        assert process.end(signal.SIGTERM).exit_status == -signal.SIGTERM


def test_a_taken_port_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run("sandbox", "--listen", address)
        simulated = run("simulate", vendor(), "--listen", address)
    expected = Ended(1, "", f"audience-gateway: can't listen on {address}: Address already in use\n")
    assert ended == expected
    assert simulated == expected


@pytest.mark.parametrize("command", [["sandbox"], ["simulate", "any"]])
@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "10.0.0.1:50051", "example.org:1"])
def test_simulators_stay_on_loopback(command: list[str], listen: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--listen", listen])
    assert ended.value.code == 2
    assert "stay on loopback" in capsys.readouterr().err


# --- simulate ------------------------------------------------------------------------------------------------------


def test_one_simulator_runs_alone() -> None:
    with running("simulate", vendor()) as process:
        line = process.line()
        assert line.keys() == {"simulators"}
        assert list(line["simulators"]) == [vendor()]
        assert requests(line["simulators"][vendor()]) == []
        ended = process.end(signal.SIGTERM)
    assert (ended.exit_status, ended.stdout) == (0, "")


def test_an_unknown_vendor_is_told_which_there_are() -> None:
    ended = run("simulate", "nobody")
    assert (ended.exit_status, ended.stdout) == (2, "")
    assert ended.stderr == f"audience-gateway: no such vendor; there are {', '.join(registry.adapters())}\n"


# --- serve ---------------------------------------------------------------------------------------------------------


def caller(**changes: object) -> dict[str, object]:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    return {"id": "reports", "key_sha256": digest, "connections": ["*"], **changes}


def served(process: Process) -> str:
    address: str = process.record("ready")["address"]
    return address


def test_serve_knows_its_callers_and_logs_json_without_a_secret(tmp_path: Path, simulator: str) -> None:
    keys, environ = connection(simulator)
    config = write(tmp_path, {"listen": "127.0.0.1:0", "callers": [caller()], "connections": [keys]})
    with running("serve", "--config", config, **environ) as process:
        with grpc.insecure_channel(served(process)) as channel:
            assert check_connection(channel, "main").exception().code() is grpc.StatusCode.UNAUTHENTICATED
            known = (("authorization", f"Bearer {KEY}"),)
            assert check_connection(channel, "main", metadata=known).result().HasField("check_time")
        ended = process.end(signal.SIGTERM)
    assert (ended.exit_status, ended.stdout) == (0, "")
    records = [json.loads(line) for line in ended.stderr.splitlines()]
    calls = [(record["caller"], record["code"]) for record in records if record["logger"] == "gateway.access"]
    assert calls == [("unknown", "UNAUTHENTICATED"), ("reports", "OK")]
    assert not any(secret in ended.stderr for secret in [KEY, *environ.values()])


def test_serve_takes_any_address_with_tls_and_callers(tmp_path: Path, simulator: str) -> None:
    ca = trustme.CA()
    server = ca.issue_cert("localhost")
    server.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    server.private_key_pem.write_to_path(tmp_path / "server.key")
    keys, environ = connection(simulator)
    tls = {"certificate": "server.pem", "key": "server.key"}
    document = {"listen": "0.0.0.0:0", "tls": tls, "callers": [caller()], "connections": [keys]}
    with running("serve", "--config", write(tmp_path, document), **environ) as process:
        port = served(process).rpartition(":")[2]
        credentials = grpc.ssl_channel_credentials(ca.cert_pem.bytes())
        with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
            known = (("authorization", f"Bearer {KEY}"),)
            assert check_connection(channel, "main", metadata=known).result().HasField("check_time")
            assert check_connection(channel, "main").exception().code() is grpc.StatusCode.UNAUTHENTICATED
        with socket.create_connection(("127.0.0.1", int(port))) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert stranger.recv(1024) != b"200"
        ended = process.end(signal.SIGTERM)
    assert ended.exit_status == 0
    # gRPC's core keeps its failed handshakes to itself.
    assert all(json.loads(line)["logger"].startswith("gateway") for line in ended.stderr.splitlines())


def test_serve_says_loudly_that_nobody_is_asked_who_they_are(tmp_path: Path, simulator: str) -> None:
    keys, environ = connection(simulator)
    config = write(tmp_path, {"listen": f"unix:{tmp_path}/gateway.sock", "connections": [keys]})
    with running("serve", "--config", config, **environ) as process:
        address = served(process)
        assert address == f"unix:{tmp_path}/gateway.sock"
        warning = process.record(f"no callers are configured: whoever reaches {address} may do everything")
        assert warning["level"] == "warning"
        with grpc.insecure_channel(address) as channel:
            assert check_connection(channel, "main").result().HasField("check_time")


def test_serve_refuses_other_addresses_without_tls_and_callers(tmp_path: Path, simulator: str) -> None:
    keys, environ = connection(simulator)
    ended = run("serve", "--config", write(tmp_path, {"listen": "0.0.0.0:0", "connections": [keys]}), **environ)
    assert (ended.exit_status, ended.stdout) == (2, "")
    assert ended.stderr.splitlines()[1:] == [
        "  tls: is missing, or calls would come in clear: only loopback and a socket file do without",
        "  callers: is missing, or anybody could call: only loopback and a socket file do without",
    ]


def test_what_serves_for_real_loads_no_simulator() -> None:
    code = "import sys, gateway.__main__, gateway.server; print([m for m in sys.modules if 'sandbox' in m])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout == "['gateway.sandbox']\n"


# --- check ---------------------------------------------------------------------------------------------------------


def test_check_prints_a_table_where_all_is_well(tmp_path: Path, simulator: str) -> None:
    keys, environ = connection(simulator)
    second = {**keys, "id": "a-second-one", "policy": {"attempts": 7}, "rates": {"reads": {"calls": 90}}}
    document: dict[str, object] = {"connections": [keys, second]}
    ended = run("check", "--config", write(tmp_path, document), **environ)
    assert ended.exit_status == 0, ended.stderr
    checked, policies = ended.stdout.split("\n\n")
    heading, *rows = [line.split() for line in checked.splitlines()]
    assert heading[:4] == ["CONNECTION", "VENDOR", "RESULT", "LATENCY"]
    assert [row[:3] for row in rows] == [
        ["[ledger]", "sqlite", "ok"],
        ["a-second-one", vendor(), "ok"],
        ["main", vendor(), "ok"],
    ]
    assert all(row[4] == "ms" and row[3].isdecimal() for row in rows)
    numbers = {line.split()[0]: line.split(maxsplit=1)[1] for line in policies.splitlines()}
    assert numbers["POLICY"].split() == ["a-second-one", "main"]
    assert numbers["attempts"].split() == ["7", "3"]
    assert numbers["rates.reads"].split("  ")[0] == "90 in 60 s"
    assert numbers["rates.reads"].split()[-1] == "-"
    assert len(numbers) > 15


def test_check_tells_which_connection_fails_and_why(tmp_path: Path, simulator: str) -> None:
    keys, environ = connection(simulator)
    wrong, wrong_environ = connection(simulator, id="wrong")
    wrong = {name: {"env": f"WRONG_{v['env']}"} if isinstance(v, dict) else v for name, v in wrong.items()}
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    down, _ = connection(f"http://127.0.0.1:{port}", id="down")
    environ |= {f"WRONG_{name}": "not-the-secret" for name in wrong_environ}
    config = write(tmp_path, {"connections": [keys, wrong, down]})
    ended = run("check", "--config", config, **environ)
    assert ended.exit_status == 1
    results = {line.split()[0]: line.split()[2] for line in ended.stdout.split("\n\n")[0].splitlines()[1:]}
    expected = {"main": "ok", "wrong": "VENDOR_CREDENTIALS_REJECTED", "down": "VENDOR_UNAVAILABLE"}
    assert results == {"[ledger]": "ok", **expected}
    assert not any(secret in ended.stdout + ended.stderr for secret in environ.values())


def test_check_tells_that_the_ledger_can_not_be_written(tmp_path: Path, simulator: str) -> None:
    keys, environ = connection(simulator)
    (tmp_path / "state").touch()
    ended = run("check", "--config", write(tmp_path, {"connections": [keys]}), **environ)
    assert ended.exit_status == 1
    assert ["[ledger]", "sqlite", "STORE_UNAVAILABLE"] in [line.split()[:3] for line in ended.stdout.splitlines()]


def test_check_tells_every_mistake_and_calls_nobody(tmp_path: Path, simulator: str) -> None:
    keys, _ = connection(simulator, zzz=1)
    seen = len(requests(simulator))
    ended = run("check", "--config", write(tmp_path, {"listen": "x", "connections": [keys, {}]}))
    assert (ended.exit_status, ended.stdout) == (2, "")
    first, *mistakes = ended.stderr.splitlines()
    assert first == f"{tmp_path}/gateway.toml: {len(mistakes)} mistakes"
    told = {line.split(": ")[0].strip() for line in mistakes}
    assert told >= {"listen", "connections[0].zzz", "connections[1].id", "connections[1].vendor"}
    assert len(requests(simulator)) == seen


@pytest.mark.parametrize("arguments", [[], ["serve"], ["check", "--config"], ["sandbox", "--listen", "x"], ["other"]])
def test_a_wrong_command_line_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "audience-gateway" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["sandbox", "simulate", "serve", "check"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert "--log-format" in capsys.readouterr().out
