"""The sandbox as a newcomer starts it: one process, one line of JSON, and nothing else known."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


class Running(NamedTuple):
    """What the line says."""

    grpc: str
    simulators: dict[str, str]

    def control(self, vendor: str, path: str, body: Any = None, method: str = "POST") -> Any:
        """Use a simulator's control surface."""
        data = None if method == "GET" else json.dumps(body or {}).encode()
        url = f"{self.simulators[vendor]}/_sandbox/{path}"
        request = urllib.request.Request(url, data=data, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            text = response.read()
        return json.loads(text) if text else None

    def journal(self, vendor: str) -> list[dict[str, Any]]:
        """Return what the vendor received."""
        requests: list[dict[str, Any]] = self.control(vendor, "journal", method="GET")["requests"]
        return requests


@contextmanager
def sandbox() -> Iterator[Running]:
    """Run `audience-gateway sandbox` on free ports."""
    command = [str(BIN / "audience-gateway"), "sandbox", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield Running(**json.loads(process.stdout.readline()))
        finally:
            process.terminate()
            process.wait(20)
