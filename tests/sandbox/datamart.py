"""mediarithmics' simulator and an ordinary client of it, for the tests of both its resources and its files."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from adapters.mediarithmics.sandbox import MediarithmicsSandbox

NOW = 1_767_225_600.0  # 2026-01-01 00:00:00 UTC
NOW_MS = 1_767_225_600_000

IMPORTS = "datamarts/1509/document_imports"
NEWSLETTER, ACTIVITIES, CLUB, LEAFLET, BENCH, QUEUE = (
    f"{IMPORTS}/{id_}" for id_ in (21501, 21502, 21504, 21507, 21511, 21512)
)
SEGMENT_IMPORTS = ["21501", "21504", "21507", "21511", "21512", "21516", "21517", "21525", "21531", "21532"]

NDJSON_TYPE, CSV_TYPE = "application/x-ndjson", "text/csv"
ERROR = {"status", "error", "error_code", "error_id"}
IMPORT = {"id", "datafarm_key", "datamart_id", "document_type", "mime_type", "encoding", "name", "priority"}
EXECUTION = {
    *("id", "status", "creation_date", "start_date", "duration", "organisation_id", "user_id", "debug"),
    *("num_tasks", "completed_tasks", "erroneous_tasks", "job_type", "external_model_name"),
    *("parameters", "result", "error"),
}
RESULT = {"total_success", "total_failure", "input_file_name", "input_file_uri", "error_file_uri"}

COMMAND = {
    "operation": "UPDATE",
    "user_account_id": "account-1",
    "segment_id": "8003",
    "expiration_duration": 60,
}


def command(**changes: Any) -> dict[str, Any]:
    """Return a good command with fields changed; None takes one out."""
    return {name: value for name, value in (COMMAND | changes).items() if value is not None}


def ndjson(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


class Client:
    """The simulator and an ordinary HTTP client of it, with a token that may do everything."""

    def __init__(self, simulator: MediarithmicsSandbox, base_url: str, session: aiohttp.ClientSession) -> None:
        self.simulator, self.base_url, self.session = simulator, base_url, session

    def switch(self, **values: Any) -> None:
        self.simulator.set_switches(**values)

    async def answer(self, method: str, path: str, **keys: Any) -> tuple[int, bytes, aiohttp.ClientResponse]:
        """Return status, body and the response."""
        headers = {"Authorization": "sandbox-token"} | keys.pop("headers", {})
        url = f"{self.base_url}/v1/{path}"
        async with self.session.request(method, url, headers=headers, **keys) as response:
            return response.status, await response.read(), response

    async def ask(self, method: str, path: str, body: object = None, **keys: Any) -> tuple[int, Any]:
        """Return status and JSON."""
        status, text, response = await self.answer(method, path, json=body, **keys)
        assert response.content_type == "application/json"
        return status, json.loads(text)

    async def get(self, path: str, **params: object) -> Any:
        """Return the data of what must be there."""
        return (await self.whole(path, **params))["data"]

    async def whole(self, path: str, **params: object) -> Any:
        """Return the whole answer."""
        status, answer = await self.ask("GET", path, params={name: str(value) for name, value in params.items()})
        assert (status, answer["status"]) == (200, "ok"), answer
        return answer

    async def refused(self, method: str, path: str, body: object = None, **keys: Any) -> int:
        """Return the status of an error in its envelope."""
        status, answer = await self.ask(method, path, body, **keys)
        assert (answer.keys(), answer["status"]) == (ERROR, "error"), answer
        return status

    async def send(self, path: str, data: Any, content_type: str | None = NDJSON_TYPE) -> tuple[int, Any]:
        """Post a file; return status and JSON."""
        headers = {"Content-Type": content_type} if content_type else {}
        status, text, _ = await self.answer("POST", f"{path}/executions", data=data, headers=headers)
        return status, json.loads(text)

    async def run(self, data: Any, path: str = NEWSLETTER, content_type: str | None = NDJSON_TYPE) -> str:
        """Post a file that must be taken; return the path of its execution."""
        status, answer = await self.send(path, data, content_type)
        assert (status, answer["status"]) == (200, "ok"), answer
        return f"{path}/executions/{answer['data']['id']}"

    async def ended(self, data: Any, path: str = NEWSLETTER, content_type: str = NDJSON_TYPE) -> Any:
        """Post a file and return the execution when it has ended."""
        started = await self.run(data, path, content_type)
        self.simulator.clock.advance(25)
        return await self.get(started)

    async def errors(self, execution: Any) -> list[dict[str, Any]]:
        """Return the lines of its error file."""
        _, body, _ = await self.file(execution["result"]["error_file_uri"])
        return [json.loads(line) for line in body.splitlines()]

    async def file(self, uri: str, **headers: str) -> tuple[int, bytes, aiohttp.ClientResponse]:
        return await self.answer("GET", "data_file/data", params={"uri": uri}, headers=headers)

    async def state(self) -> Any:
        """Return what the control surface tells of the simulator."""
        async with self.session.get(f"{self.base_url}/_sandbox/state") as answer:
            return await answer.json()

    async def members(self, segment_id: str = "8003") -> list[dict[str, Any]]:
        members: list[dict[str, Any]] = (await self.state())["segments"][segment_id]
        return members


@asynccontextmanager
async def running() -> AsyncIterator[Client]:
    """Run a simulator whose clock stands still."""
    simulator = MediarithmicsSandbox(frozen_at=NOW)
    base_url = await simulator.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Client(simulator, base_url, session)
    finally:
        await simulator.stop()
