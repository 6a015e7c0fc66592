"""The processes of the bench, and what the kernel knows of them: the stub, the bare pipe, the gateway."""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgspec

from adapters import registry
from adapters.secrets import Secret

KEY = "bench-key-that-opens-nothing-else"
AUTHORIZED = (("authorization", f"Bearer {KEY}"),)


class Process(NamedTuple):
    """A server under measurement."""

    pid: int
    address: str
    """HOST:PORT of its gRPC, or the stub's URL."""
    ready_s: float
    """From the start of the process to the line that says it serves."""

    def cpu_s(self) -> float:
        """Return what it has used so far: user and system, all threads, ended ones too, to the nanosecond.

        The same as utime and stime of /proc/PID/stat, which count hundredths of a second; see clock_getcpuclockid(3).
        """
        return time.clock_gettime(~self.pid << 3 | 2)

    def memory_mib(self, kind: str = "VmRSS") -> float:
        """Return its resident memory: `VmRSS` now, `VmHWM` at its highest."""
        found = re.search(rf"^{kind}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text("utf-8"), re.MULTILINE)
        assert found
        return int(found[1]) / 1024


@contextmanager
def stub() -> Iterator[Process]:
    """Run the vendors' stub."""
    with _running([sys.executable, "-m", "tests.bench.stub"], "url") as process:
        yield process


@contextmanager
def bare(stub_url: str) -> Iterator[Process]:
    """Run the bare pipe over the stub."""
    with _running([sys.executable, "-m", "tests.bench.bare", stub_url], "grpc") as process:
        yield process


@contextmanager
def gateway(stub_url: str) -> Iterator[Process]:
    """Run the gateway over the stub as an operator does, with a caller who shows a key: one connection a vendor."""
    with TemporaryDirectory() as folder:
        config = Path(folder) / "gateway.toml"
        environ = _configure(config, stub_url)
        command = [sys.executable, "-m", "gateway", "serve", "--config", str(config)]
        with _running(command, "address", environ, log=True) as process:
            yield process


def _configure(config: Path, stub_url: str) -> dict[str, str]:
    """Write the configuration; return the environment with its secrets."""
    caller = {"id": "bench", "key_sha256": hashlib.sha256(KEY.encode()).hexdigest(), "access": "write"}
    lines = ['listen = "127.0.0.1:0"', "[[callers]]", 'connections = ["*"]', *_keys(caller)]
    environ = {}
    for vendor, adapter in registry.adapters().items():
        secrets = {field.encode_name for field in msgspec.structs.fields(adapter.Settings) if _is_secret(field.type)}
        keys = {"id": vendor, "vendor": vendor, **registry.sandbox(vendor)().connection_settings(stub_url)}
        lines += ["[[connections]]", *_keys({name: keys[name] for name in keys if name not in secrets})]
        for name in secrets & keys.keys():
            variable = f"BENCH_{vendor}_{name}".upper()
            environ[variable] = str(keys[name])
            lines.append(f'{name} = {{env = "{variable}"}}')
    config.write_text("\n".join(lines) + "\n", "utf-8")
    return environ


def _is_secret(kind: object) -> bool:
    return Secret.__name__ in str(kind)


def _keys(table: Mapping[str, object]) -> list[str]:
    return [f"{name} = {json.dumps(value)}" for name, value in table.items()]


@contextmanager
def _running(
    command: list[str], key: str, environ: Mapping[str, str] | None = None, *, log: bool = False
) -> Iterator[Process]:
    """Run a server until it is no longer needed; *key* of its first JSON line that has it is its address."""
    environ = {**os.environ, **(environ or {})}
    quiet = None if log else subprocess.PIPE
    loud = subprocess.PIPE if log else None
    with ExitStack() as stack:
        started_s = time.perf_counter()
        # Unbuffered: what comes after the line is left in the pipe, for whoever reads on.
        popen = stack.enter_context(subprocess.Popen(command, bufsize=0, env=environ, stdout=quiet, stderr=loud))
        stack.callback(popen.kill)
        said: dict[str, Any] = {}
        pipe = popen.stderr if log else popen.stdout
        assert pipe is not None
        while key not in said:
            line = pipe.readline()
            assert line.startswith(b"{"), (line + pipe.read()).decode()  # what it ended with
            said = json.loads(line)
        ready_s = time.perf_counter() - started_s
        # Its log goes on into a pipe, as in a container, and costs this process nothing.
        reader = stack.enter_context(subprocess.Popen(["cat"], stdin=pipe, stdout=subprocess.DEVNULL))
        stack.callback(reader.kill)
        yield Process(popen.pid, str(said[key]), ready_s)
