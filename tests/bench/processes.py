"""The processes of the bench, and what the kernel knows of them: the stub, the bare pipe, the gateway."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, NamedTuple

import msgspec
import psutil

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
    told: IO[bytes]
    """What it tells when it is asked, a line of JSON at a time; see observed.py."""

    def cpu_s(self) -> float:
        """Return what it has used so far: user and system, all threads, ended ones too, to the nanosecond.

        The same as utime and stime of /proc/PID/stat, which count hundredths of a second; see clock_getcpuclockid(3).
        Its workers', too, where it has some.
        """
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in self._pids())

    def memory_mib(self, kind: str = "VmRSS") -> float:
        """Return its resident memory, its workers' too: `VmRSS` now, `VmHWM` at its highest."""
        return sum(_memory_mib(pid, kind) for pid in self._pids())

    def files(self) -> int:
        """Return how many file descriptors it has open."""
        return psutil.Process(self.pid).num_fds()

    def ask(self) -> dict[str, Any]:
        """Return what it tells of its inside; an observed one does."""
        os.kill(self.pid, signal.SIGUSR1)
        found: dict[str, Any] = json.loads(self.told.readline())
        return found

    @contextmanager
    def profiled(self) -> Iterator[None]:
        """Let an observed one profile itself for a while, into its folder."""
        os.kill(self.pid, signal.SIGUSR2)
        self.told.readline()
        yield
        os.kill(self.pid, signal.SIGUSR2)
        self.told.readline()

    def _pids(self) -> list[int]:
        return [self.pid, *(child.pid for child in psutil.Process(self.pid).children(recursive=True))]


def _memory_mib(pid: int, kind: str) -> float:
    found = re.search(rf"^{kind}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("utf-8"), re.MULTILINE)
    assert found
    return int(found[1]) / 1024


class Account(NamedTuple):
    """A connection to configure."""

    id: str
    vendor: str
    manner: str = ""
    """How the vendor behaves, see stub.py: `/after-50`, for example."""


class Setup(NamedTuple):
    """How a gateway is configured and started."""

    accounts: Sequence[Account] = ()
    """Empty: one of every vendor, of the vendor's id."""
    sections: Mapping[str, Mapping[str, object]] = {}
    """`{"server": {"max_concurrent_calls": 20_000}}`, for example."""
    environ: Mapping[str, str] = {}
    """Secrets that the sections name."""
    arguments: Sequence[str] = ()
    profile: Path | None = None
    """The folder that it puts its profile into."""
    observed: bool = False
    """Whether it can be asked."""


USUAL = Setup()


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
def gateway(stub_url: str, setup: Setup = USUAL) -> Iterator[Process]:
    """Run the gateway over the stub as an operator does, with a caller who shows a key."""
    with TemporaryDirectory() as folder:
        config = Path(folder) / "gateway.toml"
        environ = _configure(config, stub_url, setup)
        module = ["tests.bench.observed", str(setup.profile or folder)] if setup.observed else ["gateway"]
        command = [sys.executable, "-m", *module, "serve", "--config", str(config), *setup.arguments]
        with _running(command, "address", environ, log=True) as process:
            yield process


def _configure(config: Path, stub_url: str, setup: Setup) -> dict[str, str]:
    """Write the configuration; return the environment with its secrets."""
    caller = {"id": "bench", "key_sha256": hashlib.sha256(KEY.encode()).hexdigest(), "access": "write"}
    lines = ['listen = "127.0.0.1:0"']
    # Whatever it keeps, it keeps in the folder of the file.
    sections = {"ledger": {"directory": str(config.parent)}, **setup.sections}
    for section, keys in sections.items():
        lines += [f"[{section}]", *_keys(keys)]
    lines += ["[[callers]]", 'connections = ["*"]', *_keys(caller)]
    environ = dict(setup.environ)
    for id_, vendor, manner in setup.accounts or [Account(vendor, vendor) for vendor in registry.adapters()]:
        adapter = registry.adapters()[vendor]
        secrets = {field.encode_name for field in msgspec.structs.fields(adapter.Settings) if _is_secret(field.type)}
        given = {"id": id_, "vendor": vendor, **registry.sandbox(vendor)().connection_settings(stub_url + manner)}
        lines += ["[[connections]]", *_keys({name: given[name] for name in given if name not in secrets})]
        for name in secrets & given.keys():
            variable = f"BENCH_{id_}_{name}".upper().replace("-", "_")
            environ[variable] = str(given[name])
            lines.append(f'{name} = {{env = "{variable}"}}')
    config.write_text("\n".join(lines) + "\n", "utf-8")
    return environ


def _is_secret(kind: object) -> bool:
    return Secret.__name__ in str(kind)


def _keys(table: Mapping[str, object]) -> list[str]:
    return [f"{name} = {_toml(value)}" for name, value in table.items()]


def _toml(value: object) -> str:
    return f"{{{', '.join(_keys(value))}}}" if isinstance(value, dict) else json.dumps(value)


def _end(popen: "subprocess.Popen[bytes]") -> None:
    """End a server at once, and before it its workers, who might outlive it."""
    if popen.poll() is None:
        for child in psutil.Process(popen.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
        popen.kill()


@contextmanager
def _running(
    command: list[str], key: str, environ: Mapping[str, str] | None = None, *, log: bool = False
) -> Iterator[Process]:
    """Run a server until it is no longer needed; *key* of its first JSON line that has it is its address."""
    environ = {**os.environ, **(environ or {})}
    loud = subprocess.PIPE if log else None
    with ExitStack() as stack:
        started_s = time.perf_counter()
        # Unbuffered: what comes after the line is left in the pipe, for whoever reads on.
        popen = stack.enter_context(
            subprocess.Popen(command, bufsize=0, env=environ, stdout=subprocess.PIPE, stderr=loud)
        )
        stack.callback(_end, popen)
        said: dict[str, Any] = {}
        pipe = popen.stderr if log else popen.stdout
        assert pipe is not None
        while key not in said:
            line = pipe.readline()
            assert line.startswith(b"{"), (line + pipe.read()).decode()  # what it ended with
            said = json.loads(line)
        ready_s = time.perf_counter() - started_s
        # Its log goes on into a pipe, as in a container, and costs this process nothing.
        if log:
            reader = stack.enter_context(subprocess.Popen(["cat"], stdin=pipe, stdout=subprocess.DEVNULL))
            stack.callback(reader.kill)
        assert popen.stdout is not None
        yield Process(popen.pid, str(said[key]), ready_s, popen.stdout)
