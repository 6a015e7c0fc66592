"""The gateway as its own process, as an operator starts it, and its simulators' control surface."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from adapters import registry
from adapters.secrets import Secret

LIMIT_S = 60.0
"""A process that is still there then hangs, and is killed."""


class Ended(NamedTuple):
    """How a process ended, and what it had still to say."""

    exit_status: int
    stdout: str
    stderr: str


class Process(NamedTuple):
    """A gateway, or a simulator."""

    popen: subprocess.Popen[str]

    def line(self) -> dict[str, Any]:
        """Read the JSON line that says it is ready."""
        assert self.popen.stdout is not None
        text = self.popen.stdout.readline()
        assert text, self.popen.communicate()[1]
        line: dict[str, Any] = json.loads(text)
        return line

    def record(self, message: str) -> dict[str, Any]:
        """Read log records up to the one with this message."""
        assert self.popen.stderr is not None
        for text in self.popen.stderr:
            record: dict[str, Any] = json.loads(text)
            if record["message"] == message:
                return record
        raise AssertionError(f"ended without logging {message!r}")

    def end(self, *signals: signal.Signals) -> Ended:
        """Send the signals and wait for the end."""
        for number in signals:
            self.popen.send_signal(number)
        stdout, stderr = self.popen.communicate()
        return Ended(self.popen.returncode, stdout, stderr)


@contextmanager
def running(*arguments: str, **environ: str) -> Iterator[Process]:
    """Start `python -m gateway` with these arguments."""
    command = [sys.executable, "-m", "gateway", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environ}
    ) as popen:
        watchdog = threading.Timer(LIMIT_S, popen.kill)
        watchdog.start()
        try:
            yield Process(popen)
        finally:
            popen.kill()
            watchdog.cancel()
            popen.communicate()


def run(*arguments: str, **environ: str) -> Ended:
    """Run a command that ends by itself."""
    with running(*arguments, **environ) as process:
        return process.end()


def vendor() -> str:
    """Return any registered vendor."""
    return next(iter(registry.adapters()))


def connection(base_url: str, **changes: object) -> tuple[dict[str, object], dict[str, str]]:
    """Return the keys of a connection to a simulator of `vendor`, and the environment with its secrets."""
    keys: dict[str, object] = {"id": "main", "vendor": vendor()}
    environ: dict[str, str] = {}
    kinds = {
        field.encode_name: str(field.type) for field in msgspec.structs.fields(registry.adapters()[vendor()].Settings)
    }
    for name, value in registry.sandbox(vendor())().connection_settings(base_url).items():
        keys[name] = value
        if Secret.__name__ in kinds[name]:
            keys[name] = {"env": f"TEST_{name.upper()}"}
            environ[f"TEST_{name.upper()}"] = str(value)
    return {**keys, **changes}, environ


def control(simulator: str, verb: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
    """Call a simulator's control surface: GET without a body, POST with one."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{simulator}/_sandbox/{verb}", data=data)
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def requests(simulator: str) -> list[dict[str, Any]]:
    """Return what the simulator received."""
    entries: list[dict[str, Any]] = control(simulator, "journal")["requests"]
    return entries
