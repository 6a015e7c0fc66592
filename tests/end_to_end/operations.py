"""Operations of vendors, each with the RPC that leads to it, called as callers in two languages would."""

import json
import subprocess
from typing import Any, NamedTuple

import grpc
from google.protobuf.json_format import ParseDict

from adapters import registry
from gateway.methods import METHODS
from tests.end_to_end.sandbox import BIN, ROOT, Running


class Operation(NamedTuple):
    """One operation of the vendor's, and the RPC that leads to it."""

    documented: str
    rpc: str
    request: dict[str, Any]
    seen: tuple[str, str]


def by_stub(running: Running, operation: Operation) -> None:
    """Call with messages made from the stubs, as a Python service does."""
    method = METHODS[f"/audiencegateway.v1.{operation.rpc}"]
    request = ParseDict(operation.request, method.request()).SerializeToString()
    channel: Any
    with grpc.insecure_channel(running.grpc) as channel:
        if method.name.startswith("Download"):
            assert len(list(channel.unary_stream(method.path)(request, timeout=10))) > 1
        else:
            assert channel.unary_unary(method.path)(request, timeout=10)


def by_grpcurl(running: Running, operation: Operation) -> None:
    """Call with the .proto files and nothing else."""
    command = [
        *(str(BIN / "grpcurl"), "-plaintext", "-d", json.dumps(operation.request)),
        *("-import-path", str(ROOT / "protos"), "-import-path", str(ROOT / "protos/third_party")),
    ]
    for file in ("destinations", "export_jobs", "members"):
        command += ["-proto", f"audiencegateway/v1/{file}.proto"]
    done = subprocess.run(
        [*command, running.grpc, f"audiencegateway.v1.{operation.rpc}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{")


CALLS = [by_stub, by_grpcurl]


def suite(vendor: str) -> Any:
    """Return what the vendor's simulator says of its seed, with the sandbox's connection filled in."""
    text = json.dumps(registry.sandbox(vendor)().suite)
    return json.loads(text.replace("{connection}", vendor))


def seen(running: Running, vendor: str, operation: Operation) -> bool:
    """Tell whether the vendor received the documented request."""
    return operation.seen in [(entry["method"], entry["path"]) for entry in running.journal(vendor)]
