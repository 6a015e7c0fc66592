"""mediarithmics' simulator against its documentation, with ordinary clients; expected values are typed from there."""

import asyncio
import json
import shlex
import shutil
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import quote
from uuid import UUID

import aiohttp
import pytest

from tests.sandbox.datamart import (
    BENCH,
    CLUB,
    COMMAND,
    CSV_TYPE,
    ERROR,
    EXECUTION,
    IMPORT,
    IMPORTS,
    LEAFLET,
    NDJSON_TYPE,
    NEWSLETTER,
    NOW_MS,
    QUEUE,
    RESULT,
    SEGMENT_IMPORTS,
    Client,
    command,
    ndjson,
    running,
)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running() as one:
        yield one


# Access.


@pytest.mark.parametrize("token", ["", "wrong", "Bearer sandbox-token", "sandbox-toke", "api:", "Basic sandbox-token"])
async def test_a_missing_or_wrong_token_is_401_on_every_path(client: Client, token: str) -> None:
    for path in (IMPORTS, f"{NEWSLETTER}/executions", "data_file/data", "nowhere"):
        assert await client.refused("GET", path, headers={"Authorization": token}) == 401


@pytest.mark.parametrize("token", ["sandbox-token", "api:sandbox-token"])
async def test_a_token_goes_bare_and_as_it_is(client: Client, token: str) -> None:
    assert (await client.ask("GET", IMPORTS, headers={"Authorization": token}))[0] == 200


async def test_the_word_bearer_may_be_accepted(client: Client) -> None:
    client.switch(bearer="accepted")
    for token in ("Bearer sandbox-token", "bearer sandbox-token", "sandbox-token"):
        assert (await client.ask("GET", IMPORTS, headers={"Authorization": token}))[0] == 200
    assert await client.refused("GET", IMPORTS, headers={"Authorization": "Bearer wrong"}) == 401


async def test_a_token_that_may_only_read_is_403_to_writes(client: Client) -> None:
    reader = {"Authorization": "sandbox-token-read-only"}
    assert (await client.ask("GET", NEWSLETTER, headers=reader))[0] == 200
    for method, path in (
        ("POST", IMPORTS),
        ("PUT", NEWSLETTER),
        ("DELETE", NEWSLETTER),
        ("POST", f"{NEWSLETTER}/executions"),
        ("POST", f"{CLUB}/executions/90102/action"),
    ):
        assert await client.refused(method, path, {}, headers=reader) == 403


async def test_another_datamart_is_403_or_404(client: Client) -> None:
    for path in (IMPORTS, NEWSLETTER, f"{NEWSLETTER}/executions"):
        assert await client.refused("GET", path.replace("1509", "1510")) == 403
    client.switch(unknown_datamart_status=404)
    assert await client.refused("GET", IMPORTS.replace("1509", "1510")) == 404


async def test_every_error_has_an_id_of_its_own_and_a_code(client: Client) -> None:
    answers = [(await client.ask("GET", path))[1] for path in (f"{IMPORTS}/99999", "nowhere")]
    assert [answer["error_code"] for answer in answers] == ["RESOURCE_NOT_FOUND_ERROR"] * 2
    assert len({UUID(answer["error_id"]) for answer in answers}) == 2
    assert await client.refused("PATCH", NEWSLETTER, {}) == 405


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 429, 500, 503])
async def test_a_fault_of_a_bare_status_is_the_vendors_own(client: Client, status: int) -> None:
    client.simulator.fault(path="/datamarts/*", status=status, headers={"Retry-After": "7"})
    assert await client.refused("GET", IMPORTS) == status
    assert (await client.ask("GET", IMPORTS))[0] == 200


async def test_json_answers_say_an_odd_encoding_that_breaks_no_plain_client(client: Client) -> None:
    uri = (await client.get(f"{NEWSLETTER}/executions/90001"))["result"]["input_file_uri"]
    for where, (json_says, file_says) in {
        "json": ("UTF-8", None),
        "everywhere": ("UTF-8", "UTF-8"),
        "absent": (None, None),
    }.items():
        client.switch(content_encoding=where)
        for path, status in ((IMPORTS, 200), (f"{IMPORTS}/99999", 404)):
            found = await client.answer("GET", path)
            assert (found[0], found[2].headers.get("content-encoding")) == (status, json_says)
        found = await client.file(uri)
        assert (len(found[1].splitlines()), found[2].headers.get("content-encoding")) == (12, file_says)
    client.switch(content_encoding="everywhere")

    def by_urllib() -> Any:
        request = urllib.request.Request(f"{client.base_url}/v1/{NEWSLETTER}")
        request.add_header("Authorization", "sandbox-token")
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.loads(response.read())

    assert (await asyncio.to_thread(by_urllib))["data"]["id"] == "21501"


# Lists.


async def test_a_list_says_its_size_twice_and_its_total(client: Client) -> None:
    body = await client.whole(IMPORTS)
    assert [len(body.pop("data")), body] == [
        32,
        {"status": "ok", "count": 32, "total": 32, "first_result": 0, "max_result": 50, "max_results": 50},
    ]
    body = await client.whole(IMPORTS, first_result=30, max_results=5)
    assert [len(body.pop("data")), body] == [
        2,
        {"status": "ok", "count": 2, "total": 32, "first_result": 30, "max_result": 5, "max_results": 5},
    ]


async def test_a_list_may_keep_its_total_to_itself(client: Client) -> None:
    client.switch(list_envelope="bare")
    for path in (IMPORTS, f"{BENCH}/executions", "audience_segments"):
        body = await client.whole(path, first_result=1, max_results=2)
        assert [len(body.pop("data")), body] == [2, {"status": "ok", "count": 2, "first_result": 1, "max_results": 2}]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 32, 500])
async def test_pages_concatenate_to_the_whole(client: Client, size: int) -> None:
    found: list[str] = []
    while page := await client.get(IMPORTS, first_result=len(found), max_results=size):
        found += [row["id"] for row in page]
    assert found == [str(id_) for id_ in range(21501, 21533)]


async def test_a_size_beyond_the_largest_is_cut(client: Client) -> None:
    client.switch(max_page=10)
    body = await client.whole(IMPORTS, max_results=500)
    assert (len(body["data"]), body["max_results"], body["total"]) == (10, 10, 32)


@pytest.mark.parametrize(
    "query", ["first_result=-1", "max_results=0", "max_results=ten", "first_result=", "max_results="]
)
@pytest.mark.parametrize("path", [IMPORTS, f"{NEWSLETTER}/executions", "audience_segments"])
async def test_a_wrong_page_is_400(client: Client, path: str, query: str) -> None:
    assert await client.refused("GET", f"{path}?{query}") == 400


async def test_user_segments_are_some_of_many_imports_and_some_pages_have_none(client: Client) -> None:
    rows = await client.get(IMPORTS)
    assert [row["id"] for row in rows if row["document_type"] == "USER_SEGMENT"] == SEGMENT_IMPORTS
    assert len({row["document_type"] for row in rows}) == 8
    assert {row["mime_type"] for row in rows if row["document_type"] != "USER_SEGMENT"} == {"APPLICATION_X_NDJSON"}
    page = await client.get(IMPORTS, first_result=17, max_results=7)
    assert "USER_SEGMENT" not in {row["document_type"] for row in page}


async def test_imports_are_searched_by_name(client: Client) -> None:
    assert [row["id"] for row in await client.get(IMPORTS, keywords="LEAFLET")] == ["21507"]
    assert await client.get(IMPORTS, label_ids="1,2") == []


# Document imports.


async def test_an_import_is_made_as_documented(client: Client) -> None:
    body = {
        "document_type": "USER_SEGMENT",
        "mime_type": "APPLICATION_X_NDJSON",
        "encoding": "utf-8",
        "name": "Example",
    }
    status, answer = await client.ask("POST", IMPORTS, body)
    made = answer["data"]
    assert (status, answer["status"], made.keys()) == (200, "ok", IMPORT)
    expected = {"id": "21601", "datamart_id": "1509", "datafarm_key": "DF_EU_2026_01", "priority": "MEDIUM"}
    assert made == body | expected
    assert await client.get(f"{IMPORTS}/21601") == made
    assert (await client.get(IMPORTS))[-1] == made
    client.switch(created_status=201)
    assert (await client.ask("POST", IMPORTS, body | {"mime_type": "TEXT_CSV", "priority": "LOW"}))[0] == 201


@pytest.mark.parametrize(
    "change",
    [
        *({"document_type": value} for value in (None, "AUDIENCE", "user_segment", ["USER_SEGMENT"])),
        *({"mime_type": value} for value in (None, "application/x-ndjson", "TEXT_CSV ")),
        *({"encoding": value} for value in (None, "latin-1", 8)),
        *({"name": value} for value in (None, "", " ", 1)),
        *({"priority": value} for value in (None, "URGENT", 1)),
        {"document_type": "USER_ACTIVITY", "mime_type": "TEXT_CSV"},
    ],
)
async def test_a_wrong_import_is_400_and_nothing_is_made(client: Client, change: dict[str, Any]) -> None:
    body = {"document_type": "USER_SEGMENT", "mime_type": "TEXT_CSV", "encoding": "utf-8", "name": "x"} | change
    assert await client.refused("POST", IMPORTS, body) == 400
    assert len(await client.get(IMPORTS)) == 32


async def test_what_is_mandatory_must_be_there_and_in_json(client: Client) -> None:
    body = {"document_type": "USER_SEGMENT", "mime_type": "TEXT_CSV", "encoding": "utf-8", "name": "x"}
    for name in body:
        assert await client.refused("POST", IMPORTS, {key: body[key] for key in body.keys() - {name}}) == 400
    assert await client.refused("POST", IMPORTS, []) == 400
    text = json.dumps(body)
    for type_, status in (("application/x-www-form-urlencoded", 415), ("application/json; charset=utf-8", 200)):
        assert (await client.answer("POST", IMPORTS, data=text, headers={"Content-Type": type_}))[0] == status


async def test_put_takes_a_part_or_the_whole(client: Client) -> None:
    before = await client.get(NEWSLETTER)
    status, answer = await client.ask("PUT", NEWSLETTER, {"name": "Renamed"})
    assert (status, answer["data"]) == (200, before | {"name": "Renamed"})
    whole = answer["data"] | {"priority": "HIGH", "encoding": "UTF-8"}
    assert (await client.ask("PUT", NEWSLETTER, whole))[1]["data"] == whole
    assert await client.get(NEWSLETTER) == whole
    client.switch(put="replaced")
    assert await client.refused("PUT", NEWSLETTER, {"name": "Part"}) == 400
    del whole["priority"]
    assert (await client.ask("PUT", NEWSLETTER, whole))[1]["data"] == whole | {"priority": "MEDIUM"}


@pytest.mark.parametrize(
    "body",
    [
        *({"id": "1"}, {"datamart_id": 1}, {"datafarm_key": "x"}, {"document_type": "USER_CHOICE"}),
        *({"mime_type": "TEXT_CSV"}, {"name": ""}, {"priority": "NONE"}, {"encoding": None}, []),
        {"name": "fine", "priority": "wrong"},
    ],
)
async def test_a_wrong_put_is_400_and_changes_nothing(client: Client, body: object) -> None:
    before = await client.get(NEWSLETTER)
    assert await client.refused("PUT", NEWSLETTER, body) == 400
    assert await client.get(NEWSLETTER) == before


@pytest.mark.parametrize("id_", ["99999", "abc", "-1", "021501", "9" * 40, "a%2Fb", "%20"])
async def test_an_unknown_import_is_404(client: Client, id_: str) -> None:
    for method, path, body in (
        ("GET", f"{IMPORTS}/{id_}", None),
        ("PUT", f"{IMPORTS}/{id_}", {}),
        ("DELETE", f"{IMPORTS}/{id_}", None),
        ("GET", f"{IMPORTS}/{id_}/executions", None),
        ("POST", f"{IMPORTS}/{id_}/executions", {}),
        ("GET", f"{IMPORTS}/{id_}/executions/90001", None),
        ("POST", f"{IMPORTS}/{id_}/executions/90001/action", {"action": "CANCEL"}),
    ):
        assert await client.refused(method, path, body) == 404


async def test_a_deleted_import_is_gone_with_its_executions(client: Client) -> None:
    uri = (await client.get(f"{NEWSLETTER}/executions/90001"))["result"]["input_file_uri"]
    assert await client.ask("DELETE", NEWSLETTER) == (200, {"status": "ok", "data": {}})
    for path in (NEWSLETTER, f"{NEWSLETTER}/executions", f"{NEWSLETTER}/executions/90001"):
        assert await client.refused("GET", path) == 404
    assert await client.refused("DELETE", NEWSLETTER) == 404
    assert (await client.file(uri))[0] == 404
    assert len(await client.members("8001")) == 12  # what was done is done
    client.switch(delete_status=204)
    assert (await client.answer("DELETE", LEAFLET))[:2] == (204, b"")


@pytest.mark.parametrize("status", [409, 400, 200])
async def test_an_import_in_use_is_deleted_as_the_switch_says(client: Client, status: int) -> None:
    client.switch(used_import_status=status)
    assert (await client.ask("DELETE", CLUB))[0] == status
    client.simulator.clock.advance(60)
    assert (await client.ask("DELETE", CLUB))[0] == (404 if status == 200 else 200)


async def test_an_import_may_have_a_field_that_nothing_documents(client: Client) -> None:
    assert (await client.get(CLUB)).keys() == IMPORT | {"callback_secret"}
    assert (await client.get(NEWSLETTER)).keys() == IMPORT


# Executions.


async def test_an_execution_waits_runs_and_succeeds_by_the_clock(client: Client) -> None:
    status, answer = await client.send(NEWSLETTER, ndjson(COMMAND))
    made = answer["data"]
    assert (status, answer["status"], made.keys()) == (200, "ok", EXECUTION)
    uri = "mics://data_file/tenants/1426/document_imports/21501/executions/91001/document_import_21501_91001.ndjson"
    assert made == {
        "id": "91001",
        "status": "PENDING",
        "creation_date": NOW_MS,
        "start_date": None,
        "duration": None,
        "organisation_id": "1426",
        "user_id": "7",
        "debug": None,
        "num_tasks": 10,
        "completed_tasks": 0,
        "erroneous_tasks": 0,
        "job_type": "DOCUMENT_IMPORT",
        "external_model_name": "PUBLIC_DOCUMENT_IMPORT",
        "parameters": {
            "datamart_id": 1509,
            "document_import_id": 21501,
            "document_type": "USER_SEGMENT",
            "file_uri": uri,
        },
        "result": None,
        "error": None,
    }
    path, seen = f"{NEWSLETTER}/executions/91001", []
    for advance_s in (4.9, 0.1, 10, 9.9, 0.1, 3600):
        client.simulator.clock.advance(advance_s)
        shown = await client.get(path)
        seen.append((shown["status"], shown["start_date"], shown["duration"], shown["completed_tasks"]))
    start = NOW_MS + 5000
    assert seen == [
        ("PENDING", None, None, 0),
        ("RUNNING", start, None, 0),
        ("RUNNING", start, None, 5),
        ("RUNNING", start, None, 9),
        ("SUCCEEDED", start, 20_000, 10),
        ("SUCCEEDED", start, 20_000, 10),
    ]
    assert ((await client.get(path))["error"], (await client.get(path))["result"]) == (
        None,
        {
            "total_success": 1,
            "total_failure": 0,
            "input_file_name": "document_import_21501_91001.ndjson",
            "input_file_uri": uri,
            "error_file_uri": None,
        },
    )


@pytest.mark.parametrize(
    ("outcome", "message"), [("FAILED", "The job has failed"), ("LOST", "The executor of the job was lost")]
)
async def test_an_execution_may_fail_and_then_has_no_effect(client: Client, outcome: str, message: str) -> None:
    client.switch(executions_end_in=outcome)
    failed = await client.ended(ndjson(COMMAND))
    assert (failed["status"], failed["error"], failed["result"]) == (outcome, {"message": message}, None)
    assert (failed["completed_tasks"], failed["erroneous_tasks"]) == (0, 10)
    assert await client.members() == []


async def test_failed_rows_do_not_fail_the_job_and_are_in_the_error_file(client: Client) -> None:
    bad = [{"operation": "UPDATE"}, command(segment_id="8999")]
    execution = await client.ended(ndjson(COMMAND, bad[0], command(user_account_id="ü"), bad[1]))
    result = execution["result"]
    assert (execution["status"], execution["error"], result.keys()) == (
        "SUCCEEDED",
        {"message": "2 lines in error"},
        RESULT,
    )
    assert (result["total_success"], result["total_failure"]) == (2, 2)
    assert result["error_file_uri"].startswith("mics://data_file/tenants/1426/")
    errors = await client.errors(execution)
    assert [(error["row"], json.loads(error["line"])) for error in errors] == [(2, bad[0]), (4, bad[1])]
    assert [error["error"] for error in errors] == [
        "expiration_duration is mandatory, a whole number of minutes from 0",
        "There is no segment of this segment_id",
    ]
    assert [member["user_account_id"] for member in await client.members()] == ["account-1", "ü"]


async def test_every_row_may_fail(client: Client) -> None:
    execution = await client.ended(ndjson({}, {}, {}))
    result = execution["result"]
    assert (execution["status"], result["total_success"], result["total_failure"]) == ("SUCCEEDED", 0, 3)


async def test_failed_rows_may_come_without_an_error_file(client: Client) -> None:
    client.switch(error_file="absent")
    assert (await client.ended(ndjson({})))["result"]["error_file_uri"] is None


async def test_words_and_forms_may_be_older_ones(client: Client) -> None:
    client.switch(
        waiting_status="SCHEDULED",
        running_status="EXECUTOR_NOT_RESPONDING",
        succeeded_status="SUCCESS",
        task_counts="string",
        empty_fields="absent",
        ids="numbers",
    )
    path = await client.run(ndjson(COMMAND))
    seen = []
    for advance_s in (0, 5, 20):
        client.simulator.clock.advance(advance_s)
        seen.append(await client.get(path))
    assert [shown["status"] for shown in seen] == ["SCHEDULED", "EXECUTOR_NOT_RESPONDING", "SUCCESS"]
    assert [shown["completed_tasks"] for shown in seen] == ["0", "0", "10"]
    assert EXECUTION - seen[0].keys() == {"start_date", "duration", "debug", "result", "error"}
    assert RESULT - seen[2]["result"].keys() == {"error_file_uri"}
    assert (seen[2]["id"], seen[2]["organisation_id"]) == (91001, 1426)
    client.switch(waiting_status="WAITING_DEPENDENT_JOB", task_counts="null", empty_fields="null", ids="strings")
    shown = await client.get(await client.run(ndjson(COMMAND)))
    assert (shown["status"], shown["num_tasks"], shown["id"]) == ("WAITING_DEPENDENT_JOB", None, "91002")
    assert (shown["parameters"]["datamart_id"], shown["parameters"]["document_import_id"]) == ("1509", "21501")
    assert (await client.get(NEWSLETTER))["id"] == "21501"


async def test_the_seed_has_every_status_and_one_that_nobody_knows(client: Client) -> None:
    rows = [row for path in (NEWSLETTER, CLUB, QUEUE) for row in await client.get(f"{path}/executions")]
    assert {row["id"]: row["status"] for row in rows} == {
        "90001": "SUCCEEDED",
        "90002": "SUCCEEDED",
        "90003": "FAILED",
        "90004": "CANCELED",
        "90005": "SUCCEEDED",
        "90006": "SUCCESS",
        "90007": "RECONCILING",
        "90008": "LOST",
        "90009": "SUCCEEDED",
        "90101": "RUNNING",
        "90102": "PENDING",
        "90401": "SCHEDULED",
        "90402": "WAITING_DEPENDENT_JOB",
        "90403": "EXECUTOR_NOT_RESPONDING",
    }
    results = {row["id"]: row["result"] for row in rows if row["result"]}
    counts = {id_: (result["total_success"], result["total_failure"]) for id_, result in results.items()}
    assert (counts["90001"], counts["90002"], counts["90005"]) == ((12, 0), (10, 2), (0, 5))
    assert next(row["error"] for row in rows if row["id"] == "90009") == {"message": "Took longer than usual"}
    leaflet = (await client.get(f"{LEAFLET}/executions/90201"))["result"]
    assert (leaflet["total_success"], leaflet["total_failure"]) == (3, 1)


async def test_executions_are_of_one_import_newest_first_and_page(client: Client) -> None:
    path, found = f"{BENCH}/executions", list[dict[str, Any]]()
    while page := await client.get(path, first_result=len(found), max_results=7):
        found += page
    created = [row["creation_date"] for row in found]
    assert (len({row["id"] for row in found}), created) == (30, sorted(created, reverse=True))
    client.switch(executions_order="oldest")
    assert (await client.get(path, max_results=1))[0]["id"] == found[-1]["id"]
    assert await client.refused("GET", "datamarts/1509/document_imports/executions") == 404
    assert await client.refused("GET", f"{NEWSLETTER}/executions/{found[0]['id']}") == 404


@pytest.mark.parametrize("status", [404, 405])
async def test_there_may_be_no_get_of_one_execution(client: Client, status: int) -> None:
    client.switch(get_execution_status=status)
    assert await client.refused("GET", f"{NEWSLETTER}/executions/90001") == status
    assert await client.refused("GET", f"{NEWSLETTER}/executions/99999") == 404
    assert "90001" in {row["id"] for row in await client.get(f"{NEWSLETTER}/executions")}


# Cancel.

CANCEL = {"action": "CANCEL"}


async def test_what_is_pending_can_be_cancelled_and_then_has_no_effect(client: Client) -> None:
    path = await client.run(ndjson(COMMAND))
    status, answer = await client.ask("POST", f"{path}/action", CANCEL)
    assert (status, answer["data"]["status"], answer["data"]["id"]) == (200, "CANCELED", "91001")
    client.simulator.clock.advance(3600)
    assert (await client.get(path))["status"] == "CANCELED"
    assert ((await client.get(path))["start_date"], (await client.get(path))["result"]) == (None, None)
    assert await client.members() == []
    assert await client.refused("POST", f"{path}/action", CANCEL) == 409


@pytest.mark.parametrize(
    ("switch", "advance_s", "after"),
    [("cancel_running_status", 6, "RUNNING"), ("cancel_final_status", 25, "SUCCEEDED")],
)
async def test_what_runs_or_is_final_is_not_cancelled_by_default(
    client: Client, switch: str, advance_s: int, after: str
) -> None:
    path = await client.run(ndjson(COMMAND))
    client.simulator.clock.advance(advance_s)
    assert await client.refused("POST", f"{path}/action", CANCEL) == 409
    client.switch(**{switch: 400})
    assert await client.refused("POST", f"{path}/action", CANCEL) == 400
    assert (await client.get(path))["status"] == after


async def test_a_running_execution_may_be_cancelled_at_once_or_after_a_while(client: Client) -> None:
    client.switch(cancel_running_status=200, cancel_final_status=200, cancelling_s=10.0)
    path = await client.run(ndjson(COMMAND))
    client.simulator.clock.advance(10)
    for _ in range(2):
        status, answer = await client.ask("POST", f"{path}/action", CANCEL)
        assert (status, answer["data"]["status"]) == (200, "RUNNING")
        client.simulator.clock.advance(4)
    client.simulator.clock.advance(2)
    shown = await client.get(path)
    assert (shown["status"], shown["duration"], shown["completed_tasks"]) == ("CANCELED", 15_000, 2)
    assert (await client.ask("POST", f"{path}/action", CANCEL))[1]["data"]["status"] == "CANCELED"
    assert await client.members() == []


@pytest.mark.parametrize("body", [{}, {"action": "cancel"}, {"action": "RETRY"}, []])
async def test_another_action_is_400(client: Client, body: object) -> None:
    assert await client.refused("POST", f"{CLUB}/executions/90102/action", body) == 400
    assert await client.refused("POST", f"{NEWSLETTER}/executions/90102/action", CANCEL) == 404


# Data files.


async def test_the_input_and_the_errors_are_read_by_their_uris(client: Client) -> None:
    data = ndjson(COMMAND, {})
    execution = await client.ended(data)
    result = execution["result"]
    status, body, response = await client.file(result["input_file_uri"])
    assert (status, body, response.content_type) == (200, data, NDJSON_TYPE)
    assert response.headers["Content-Length"] == str(len(data))
    assert execution["parameters"]["file_uri"] == result["input_file_uri"]
    # As the vendor's own interface writes it.
    path = f"data_file/data?uri={quote(result['error_file_uri'], safe='')}"
    assert json.loads((await client.answer("GET", path))[1])["row"] == 2
    leaflet = (await client.get(f"{LEAFLET}/executions/90201"))["result"]
    assert (await client.file(leaflet["input_file_uri"]))[2].content_type == CSV_TYPE
    assert (await client.file(leaflet["error_file_uri"]))[2].content_type == NDJSON_TYPE


async def test_an_error_file_is_there_when_the_job_has_ended(client: Client) -> None:
    execution = await client.get(await client.run(ndjson(COMMAND, {})))
    uri = execution["parameters"]["file_uri"]
    assert [(await client.file(one))[0] for one in (uri, f"{uri}.err")] == [200, 404]
    client.simulator.clock.advance(25)
    assert (await client.file(f"{uri}.err"))[0] == 200


async def test_a_uri_that_is_missing_or_unknown_is_an_error_in_json(client: Client) -> None:
    for path, status in (("data_file/data", 400), ("data_file/data?uri=", 400), ("data_file/data?uri=mics://x", 404)):
        assert await client.refused("GET", path) == status


@pytest.mark.parametrize("type_", ["application/octet-stream", "absent"])
async def test_type_and_length_of_a_file_are_switchable(client: Client, type_: str) -> None:
    uri = (await client.get(f"{NEWSLETTER}/executions/90001"))["result"]["input_file_uri"]
    client.switch(file_content_type=type_, file_framing="chunked")
    _, body, response = await client.file(uri)
    assert len(body.splitlines()) == 12
    assert response.headers.get("Content-Type", "absent") == type_
    assert ("Content-Length" in response.headers, response.headers["Transfer-Encoding"]) == (False, "chunked")


async def test_range_is_honoured_only_if_switched_on(client: Client) -> None:
    uri = (await client.get(f"{NEWSLETTER}/executions/90001"))["result"]["input_file_uri"]
    whole = (await client.file(uri))[1]
    assert (await client.file(uri, Range="bytes=10-"))[:2] == (200, whole)
    client.switch(file_ranges=True)
    for first in (0, 10, len(whole) - 1):
        status, body, response = await client.file(uri, Range=f"bytes={first}-")
        assert (status, body) == (206, whole[first:])
        assert response.headers["Content-Range"] == f"bytes {first}-{len(whole) - 1}/{len(whole)}"
    status, body, response = await client.file(uri, Range=f"bytes={len(whole)}-")
    assert (status, json.loads(body).keys()) == (416, ERROR)
    assert response.headers["Content-Range"] == f"bytes */{len(whole)}"
    assert (await client.file(uri, Range="bytes=0-9"))[:2] == (200, whole)


async def test_a_large_file_comes_back_whole_or_visibly_short(client: Client) -> None:
    data = ndjson(*(command(user_account_id=f"account-{n}") for n in range(5000)))
    uri = (await client.ended(data))["result"]["input_file_uri"]
    assert (await client.file(uri))[1] == data
    client.simulator.fault(path="/data_file/*", drop="truncate")
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.file(uri)


# The documentation's own examples, as they stand there; only what is in angle brackets is filled in.

EXAMPLES = """
# Create the document import
curl -X POST \\
  https://api.mediarithmics.com/v1/datamarts/<DATAMART_ID>/document_imports \\
  -H 'Authorization: <YOUR_API_TOKEN>' \\
  -H 'Content-Type: application/json' \\
  -d '{
	"document_type": "USER_SEGMENT",
	"mime_type": "APPLICATION_X_NDJSON",
	"encoding": "utf-8",
	"name": "<YOUR_DOCUMENT_IMPORT_NAME>"
}'
# Create the execution
curl -X POST \\
  https://api.mediarithmics.com/v1/datamarts/<DATAMART_ID>/document_imports/<DOCUMENT_IMPORT_ID>/executions \\
  -H 'Authorization: <API_TOKEN>' \\
  -H 'Content-Type: application/x-ndjson' \\
  -d '{ 
        "operation": "UPDATE",
        "expiration_duration": <INTEGER>,
        "compartment_id": "<COMPARTMENT_ID>", 
        "user_account_id": "<USER_ACCOUNT_ID>",
        "segment_id": "<SEGMENT_ID"
      }'
"""  # noqa: W291 - the spaces and tabs are theirs
FILLED = {
    "<DATAMART_ID>": "1509",
    "<YOUR_API_TOKEN>": "sandbox-token",
    "<API_TOKEN>": "sandbox-token",
    "<YOUR_DOCUMENT_IMPORT_NAME>": "Example",
    "<DOCUMENT_IMPORT_ID>": "21601",
    "<INTEGER>": "0",
    "<COMPARTMENT_ID>": "1001",
    "<USER_ACCOUNT_ID>": "account-1",
    "<SEGMENT_ID": "8003",
}

Runs = Callable[[Client, list[str]], Awaitable[Any]]


async def by_curl(client: Client, words: list[str]) -> Any:
    """Run the command as it stands."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("there is no curl here")
    process = await asyncio.create_subprocess_exec(program, "-sS", *words[1:], stdout=asyncio.subprocess.PIPE)
    return json.loads((await process.communicate())[0])


async def by_aiohttp(client: Client, words: list[str]) -> Any:
    """Do what curl would do: inline data go as they stand, line feeds included."""
    assert [words[0], *words[1:3], words[4], words[6], words[8]] == ["curl", "-X", "POST", "-H", "-H", "-d"]
    headers = dict(header.split(": ") for header in (words[5], words[7]))
    async with client.session.post(words[3], data=words[9].encode(), headers=headers) as answer:
        return await answer.json()


@pytest.mark.parametrize("run", [by_aiohttp, by_curl])
async def test_the_examples_of_the_documentation_work(client: Client, run: Runs) -> None:
    text = EXAMPLES.replace("https://api.mediarithmics.com", client.base_url)
    for placeholder, value in FILLED.items():
        text = text.replace(placeholder, value)
    imports, executions = (["curl", *words] for words in _split(shlex.split(text.replace("\\\n", ""), comments=True)))
    made = await run(client, imports)
    assert (made["status"], made["data"]["id"], made["data"]["name"]) == ("ok", "21601", "Example")
    refused = await run(client, executions)
    assert (refused["status"], refused["error_code"]) == ("error", "VALIDATION_ERROR")
    client.switch(lines="multiline")
    started = await run(client, executions)
    assert (started["status"], started["data"]["status"]) == ("ok", "PENDING")
    client.simulator.clock.advance(25)
    assert await client.members() == [
        {"user_account_id": "account-1", "compartment_id": "1001", "data_bag": "", "expires_ms": 0}
    ]


def _split(words: list[str]) -> list[list[str]]:
    """Return the arguments of each command."""
    first, second = (at for at, word in enumerate(words) if word == "curl")
    return [words[first + 1 : second], words[second + 1 :]]


# The seed and what is said of it.


async def test_the_suite_says_what_is_there(client: Client) -> None:
    suite = client.simulator.suite
    kinds = Counter(row["document_type"] for row in await client.get(IMPORTS))
    assert kinds["USER_SEGMENT"] == suite["destination_count"]
    for key in ("destination_id", "used_destination_id", "member_destination_id"):
        assert (await client.get(f"{IMPORTS}/{suite[key]}"))["document_type"] == "USER_SEGMENT"
    assert await client.refused("GET", f"{IMPORTS}/{suite['unknown_destination_id']}") == 404

    async def job(id_: str) -> Any:
        import_id, _, execution_id = id_.partition("~")
        return await client.get(f"{IMPORTS}/{import_id}/executions/{execution_id}")

    assert {state: (await job(id_))["status"] for state, id_ in suite["jobs"].items()} == {
        "SUCCEEDED": "SUCCEEDED",
        "PARTIALLY_SUCCEEDED": "SUCCEEDED",
        "FAILED": "FAILED",
        "CANCELLED": "CANCELED",
        "UNRECOGNIZED": "RECONCILING",
        "RUNNING": "RUNNING",
        "PENDING": "PENDING",
    }
    used = await client.get(f"{IMPORTS}/{suite['used_destination_id']}/executions")
    assert f"{suite['used_destination_id']}~{used[0]['id']}" == suite["used_job_id"]
    assert len(await client.get(f"{BENCH}/executions")) == suite["many_export_job_count"]
    assert (await job(suite["download_job_id"]))["result"][f"{suite['download_artifact_id']}_file_uri"]
    nothing_yet = await job(suite["undownloadable_job_id"])
    assert (nothing_yet["result"], "file_uri" in nothing_yet["parameters"]) == (None, False)


async def test_nothing_that_is_not_final_uses_the_import_that_may_be_deleted(client: Client) -> None:
    statuses = {row["status"] for row in await client.get(f"{NEWSLETTER}/executions")}
    assert statuses.isdisjoint({"PENDING", "RUNNING"})
    assert (await client.ask("DELETE", NEWSLETTER))[0] == 200


async def test_no_answer_but_of_imports_shows_a_secret(client: Client) -> None:
    shown = str([await client.get(path) for path in (f"{CLUB}/executions", "audience_segments", NEWSLETTER)])
    assert not [secret for secret in client.simulator.suite["secrets"] if secret in shown]
    assert "fake-secret-of-nothing" in str(await client.get(IMPORTS))


async def test_a_reset_brings_the_seed_back(client: Client) -> None:
    before = [await client.get(IMPORTS), await client.get(f"{NEWSLETTER}/executions"), await client.state()]
    await client.ask("PUT", NEWSLETTER, {"name": "Changed"})
    await client.ask("DELETE", LEAFLET)
    await client.ended(ndjson(COMMAND))
    client.simulator.reset()
    assert [await client.get(IMPORTS), await client.get(f"{NEWSLETTER}/executions"), await client.state()] == before


async def test_the_settings_of_a_connection_reach_it(client: Client) -> None:
    settings = client.simulator.connection_settings(client.base_url)
    assert settings == {"base_url": f"{client.base_url}/v1", "token": "sandbox-token", "datamart_id": "1509"}
