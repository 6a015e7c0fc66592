"""Adobe's simulator against its documentation, with an ordinary HTTP client; expected values are typed from there."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import aiohttp
import pytest

from adapters.adobe.sandbox import AdobeSandbox

NOW = 1_767_225_600.0  # 2026-01-01 00:00:00 UTC
HALF_A_DAY_S = 43_200  # as long as any job, and shorter than a token

TOKEN = "/ims/token/v3"
JOBS = "/data/core/ups/export/jobs"
CATALOG = "/data/foundation/catalog"
DATASETS = f"{CATALOG}/dataSets"
UNION = "https://ns.adobe.com/xdm/context/profile__union"

EVENTS, PROFILES, NEWSLETTER, LATE = (f"5ca1ab1e{n:016x}" for n in (1, 2, 5, 108))
REGULAR, LAPSED, SUBSCRIBED = (f"5ca1ab1e-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
NOWHERE = "5ca1ab1e0000000000009999"
FORM = {
    "grant_type": "client_credentials",
    "client_id": "sandbox-client-id",
    "client_secret": "sandbox-client-secret",
    "scope": "openid,session,AdobeID,read_organizations,additional_info.projectedProductContext",
}
CREATE = {"destination": {"datasetId": NEWSLETTER}, "schema": {"name": "_xdm.context.profile"}}
ONE_SEGMENT = {"filter": {"segments": [{"segmentId": REGULAR}]}}


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: Any
    headers: Mapping[str, str]


class Client:
    """The simulator and an ordinary HTTP client of it, with the four headers of every call."""

    def __init__(self, adobe: AdobeSandbox, base_url: str, session: aiohttp.ClientSession) -> None:
        self.adobe, self.base_url, self.session = adobe, base_url, session
        self.headers = {
            "Authorization": "",
            "x-api-key": "sandbox-client-id",
            "x-gw-ims-org-id": "EXAMPLE00000000000000000@AdobeOrg",
            "x-sandbox-name": "prod",
        }

    async def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str | None] | None = None, **keys: Any
    ) -> Answer:
        """Send the four headers, changed by *headers*, of which None takes one away."""
        sent = {name: value for name, value in {**self.headers, **(headers or {})}.items() if value is not None}
        url = self.base_url + path
        if body is not None:
            keys["data"] = json.dumps(body)
            sent.setdefault("Content-Type", "application/json")
        async with self.session.request(method, url, headers=sent, **keys) as answer:
            text = await answer.text()
            return Answer(answer.status, json.loads(text) if text else None, answer.headers)

    async def get(self, path: str, **params: object) -> Any:
        """Return the JSON of what must be there."""
        status, body, _ = await self.ask("GET", path, params={name: str(value) for name, value in params.items()})
        assert status == 200, body
        return body

    async def job(self, id_: object) -> Any:
        """Return an export job."""
        return await self.get(f"{JOBS}/{id_}")

    async def run(self, *changes: Mapping[str, object]) -> Any:
        """Create an export job and return it."""
        body: Mapping[str, object] = CREATE
        for change in changes:
            body = {**body, **change}
        status, job, _ = await self.ask("POST", JOBS, body)
        assert status == 200, job
        return job

    async def dataset(self, id_: str) -> Any:
        """Return a dataset."""
        body = await self.get(f"{DATASETS}/{id_}")
        assert list(body) == [id_]
        return body[id_]

    async def log_in(self, **keys: Any) -> Answer:
        """Ask for a token, without the four headers."""
        async with self.session.post(self.base_url + TOKEN, **keys) as answer:
            return Answer(answer.status, await answer.json(), answer.headers)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    adobe = AdobeSandbox(frozen_at=NOW)
    base_url = await adobe.start()
    async with aiohttp.ClientSession() as session:
        client = Client(adobe, base_url, session)
        client.headers["Authorization"] = f"Bearer {(await client.log_in(data=FORM)).body['access_token']}"
        adobe.journal.clear()
        yield client
    await adobe.stop()


def ids(records: list[dict[str, Any]]) -> list[int]:
    return [record["id"] for record in records]


def messages(body: dict[str, Any]) -> list[str]:
    return [entry["message"] for entries in body["errors"].values() for entry in entries]


# IMS.


async def test_a_token_lives_for_24_hours_in_seconds(client: Client) -> None:
    status, body, headers = await client.log_in(data=FORM)
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    assert body == {"access_token": body["access_token"], "token_type": "bearer", "expires_in": 86399}
    token = {"Authorization": f"Bearer {body['access_token']}"}
    client.adobe.clock.advance(86398)
    assert (await client.ask("GET", JOBS, headers=token)).status == 200
    client.adobe.clock.advance(1)
    answer = await client.ask("GET", JOBS, headers=token)
    assert answer[:2] == (401, {"error_code": "401013", "message": "Oauth token is not valid"})


async def test_every_call_for_a_token_gives_another_one(client: Client) -> None:
    tokens = {(await client.log_in(data=FORM)).body["access_token"] for _ in range(3)}
    assert len(tokens) == 3


async def test_a_short_life_and_the_retired_milliseconds_are_switches(client: Client) -> None:
    client.adobe.set_switches(expires_in="milliseconds")
    assert (await client.log_in(data=FORM)).body["expires_in"] == 86399992
    client.adobe.set_switches(expires_in="seconds", token_lifetime_s=60)
    body = (await client.log_in(data=FORM)).body
    assert body["expires_in"] == 60
    client.adobe.clock.advance(60)
    assert (await client.ask("GET", JOBS, headers={"Authorization": f"Bearer {body['access_token']}"})).status == 401


async def test_parameters_of_the_token_may_stand_in_the_query(client: Client) -> None:
    assert (await client.log_in(params=FORM)).status == 200
    rest = {name: value for name, value in FORM.items() if name != "client_id"}
    assert (await client.log_in(params={"client_id": FORM["client_id"]}, data=rest)).status == 200


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"client_secret": "guess"}, 401, "invalid_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"client_id": ""}, 400, "invalid_request"),
        ({"grant_type": ""}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"scope": "openid session"}, 400, "invalid_scope"),
        ({"scope": "openid,everything"}, 400, "invalid_scope"),
        ({"scope": ""}, 400, "invalid_scope"),
    ],
)
async def test_a_wrong_request_for_a_token_is_an_error_of_rfc_6749(
    client: Client, change: dict[str, str], status: int, error: str
) -> None:
    answer = await client.log_in(data={**FORM, **change})
    assert (answer.status, answer.body["error"], set(answer.body)) == (status, error, {"error", "error_description"})
    client.adobe.set_switches(invalid_client_status=400)
    assert (await client.log_in(data={**FORM, **change})).status == 400


async def test_a_token_is_asked_for_by_form_alone(client: Client) -> None:
    answer = await client.log_in(json=FORM)
    assert (answer.status, answer.body["error"]) == (400, "invalid_request")


# The gateway in front of every call.


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"Authorization": None}, (403, "403010")),
        ({"Authorization": ""}, (403, "403010")),
        ({"Authorization": "Bearer guess"}, (401, "401013")),
        ({"Authorization": "Bearer"}, (401, "401013")),
        ({"Authorization": "Basic c2FuZGJveA=="}, (401, "401013")),
        ({"x-api-key": None}, (403, "403000")),
        ({"x-api-key": "nobody"}, (403, "403003")),
        ({"x-gw-ims-org-id": None}, (400, "400003")),
        ({"x-gw-ims-org-id": "OTHER@AdobeOrg"}, (403, "403025")),
        ({"x-sandbox-name": None}, (400, "400003")),
        ({"x-sandbox-name": "PROD"}, (403, "403025")),
        ({"x-sandbox-name": "elsewhere"}, (403, "403025")),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", JOBS), ("POST", JOBS), ("DELETE", f"{DATASETS}/{NEWSLETTER}"), ("GET", "/nowhere")]
)
async def test_a_missing_or_wrong_header_is_the_gateways_error(
    client: Client, method: str, path: str, change: dict[str, str | None], expected: tuple[int, str]
) -> None:
    answer = await client.ask(method, path, headers=change)
    assert (answer.status, answer.body["error_code"]) == expected
    assert answer.body.keys() == {"error_code", "message"}
    assert NEWSLETTER in client.adobe.datasets


async def test_unknown_paths_and_methods_have_the_envelope_of_their_service(client: Client) -> None:
    assert (await client.ask("GET", "/nowhere")).body == {"error_code": "404000", "message": "Not Found"}
    answer = await client.ask("DELETE", JOBS)
    assert (answer.status, answer.body["status"], answer.headers["Allow"]) == (405, 405, "GET, POST")
    answer = await client.ask("PUT", DATASETS, {})
    assert (answer.status, answer.body["title"]) == (405, "MethodNotAllowedError")


async def test_a_429_is_the_gateways_and_may_say_when(client: Client) -> None:
    client.adobe.fault(path="/export/jobs*", status=429, count=0)
    answer = await client.ask("GET", JOBS)
    assert answer[:2] == (429, {"error_code": "429050", "message": "Too many requests"})
    assert answer.headers["Retry-After"] == "1"
    client.adobe.set_switches(retry_after="absent", too_many="profile")
    answer = await client.ask("GET", JOBS)
    assert "Retry-After" not in answer.headers
    assert answer.body.keys() == {"message", "cause", "retryAfterMs", "statusCode"}
    assert (answer.body["retryAfterMs"], answer.body["statusCode"]) == ("500", "429")


async def test_faults_of_a_bare_status_have_the_envelope_of_their_service(client: Client) -> None:
    for path, keys in (
        (JOBS, {"requestId", "errors", "type", "title", "status"}),
        (DATASETS, {"type", "status", "title", "detail"}),
        ("/nowhere", {"error_code", "message"}),
    ):
        client.adobe.fault(path=path, status=500)
        answer = await client.ask("GET", path)
        assert (answer.status, answer.body.keys()) == (500, keys)
    client.adobe.fault(path="/token/v3", status=503)
    answer = await client.log_in(data=FORM)
    assert (answer.status, answer.body["error"]) == (503, "server_error")


async def test_errors_of_ups_are_by_status_and_name_the_request(client: Client) -> None:
    status, body, _ = await client.ask("GET", f"{JOBS}/9", headers={"x-request-id": "mine"})
    assert (status, body) == (
        404,
        {
            "requestId": body["requestId"],
            "errors": {"404": [{"code": "404", "message": "The export job was not found"}]},
            "type": "https://ns.adobe.com/aep/errors/UPAPI-113430-404",
            "title": "Not Found",
            "status": 404,
        },
    )
    assert body["requestId"] != "mine"
    client.adobe.set_switches(ups_error_codes="number", request_id="echoed")
    _, body, _ = await client.ask("GET", f"{JOBS}/9", headers={"x-request-id": "mine"})
    assert (body["errors"]["404"][0]["code"], body["requestId"]) == (404, "mine")


@pytest.mark.parametrize("path", [f"{JOBS}/9", f"{DATASETS}/{NOWHERE}", f"{CATALOG}/batches/9"])
async def test_errors_may_be_the_platforms_with_report_and_chain(client: Client, path: str) -> None:
    client.adobe.set_switches(error_envelopes="generic")
    status, body, _ = await client.ask("GET", path)
    assert (status, body["status"], body["title"]) == (404, 404, "Not Found")
    assert body["type"].startswith("http://ns.adobe.com/aep/errors/")
    assert body.keys() == {"type", "title", "status", "detail", "report", "error-chain"}
    assert body["error-chain"][0]["unixTimeStampMs"] == 1767225600000


# Export jobs: lists.


async def test_jobs_are_listed_newest_first_with_the_page_and_its_link(client: Client) -> None:
    body = await client.get(JOBS, limit=3)
    assert body.keys() == {"records", "page", "link"}
    assert ids(body["records"]) == [109, 108, 107]
    assert body["page"] == {
        "sortField": "createdTime",
        "sort": "desc",
        "pageOffset": "1767225000000_107",
        "pageSize": 3,
    }
    assert body["link"] == {"next": "/export/jobs/?limit=3&offset=1767225000000_107"}


async def walk(client: Client, limit: int, **params: str) -> list[list[int]]:
    """Follow link.next, relative to the base of UPS, and return the ids of each page."""
    pages, path = [], f"{JOBS}?limit={limit}" + "".join(f"&{name}={value}" for name, value in params.items())
    while True:
        body = await client.get(path)
        pages.append(ids(body["records"]))
        assert len(pages) < 50, "the list does not end"
        link = body.get("link", {}).get("next", "")
        if not link:
            return pages
        path = f"/data/core/ups{link}"


@pytest.mark.parametrize("limit", [1, 2, 7, 38, 39, 40])
async def test_pages_of_jobs_concatenate_to_the_whole(client: Client, limit: int) -> None:
    whole = (await client.get(JOBS))["records"]
    assert len(whole) == 39
    created = [(job["creationTime"], job["id"]) for job in whole]
    assert created == sorted(created, reverse=True)
    # Some were created in the same millisecond: the id decides.
    assert len({at for at, _ in created}) < len(created)
    pages = await walk(client, limit)
    assert [id_ for page in pages for id_ in page] == ids(whole)
    assert {len(page) for page in pages[:-1]} <= {limit}


async def test_an_offset_is_a_place_and_needs_no_job_there(client: Client) -> None:
    body = await client.get(JOBS, limit=2, offset="1767225300000_108")
    assert ids(body["records"]) == [107, 230]
    assert ids((await client.get(JOBS, limit=1, offset="1767225300000_5"))["records"]) == [107]
    assert ids((await client.get(JOBS, limit=1, offset="9999999999999_0"))["records"]) == [109]
    body = await client.get(JOBS, offset="1_1")
    assert (body["records"], body["page"]["pageOffset"], body["link"]) == ([], "", {"next": ""})


async def test_a_job_that_starts_in_between_shifts_no_page(client: Client) -> None:
    first = await client.get(JOBS, limit=5)
    await client.run()
    second = await client.get(f"/data/core/ups{first['link']['next']}")
    assert not set(ids(first["records"])) & set(ids(second["records"]))
    assert ids((await client.get(JOBS, limit=1))["records"]) == [3001]


async def test_a_last_page_links_to_nothing_in_three_ways(client: Client) -> None:
    assert (await client.get(JOBS))["link"] == {"next": ""}
    client.adobe.set_switches(last_link="absent")
    assert (await client.get(JOBS))["link"] == {}
    client.adobe.set_switches(last_link="no_link")
    assert "link" not in await client.get(JOBS)


async def test_a_full_last_page_may_link_to_an_empty_one(client: Client) -> None:
    assert [len(page) for page in await walk(client, 13)] == [13, 13, 13]
    client.adobe.set_switches(look_ahead=False)
    assert [len(page) for page in await walk(client, 13)] == [13, 13, 13, 0]


async def test_a_slash_at_the_end_is_as_good_as_none(client: Client) -> None:
    assert await client.get(f"{JOBS}/", limit=3) == await client.get(JOBS, limit=3)
    assert (await client.ask("POST", f"{JOBS}/", CREATE)).status == 200


async def test_limits_have_a_default_and_a_maximum(client: Client) -> None:
    client.adobe.set_switches(default_limit=10, max_limit=20)
    assert len((await client.get(JOBS))["records"]) == 10
    body = await client.get(JOBS, limit=30)
    assert (len(body["records"]), body["page"]["pageSize"]) == (20, 20)
    client.adobe.set_switches(default_limit=0, max_limit=1000)
    assert len((await client.get(JOBS))["records"]) == 39


@pytest.mark.parametrize(("status", "found"), [("NEW", [109]), ("FAILED", [103, 102]), ("SUCCEEDED", None)])
async def test_lists_filter_by_the_three_documented_statuses(
    client: Client, status: str, found: list[int] | None
) -> None:
    whole = (await client.get(JOBS))["records"]
    chosen = [job["id"] for job in whole if job["status"] == status]
    assert chosen == (found or chosen)
    assert chosen
    assert [id_ for page in await walk(client, 2, status=status) for id_ in page] == chosen


@pytest.mark.parametrize(
    "params",
    [
        {"status": "PROCESSING"},
        {"status": "SUCEEDED"},
        {"status": ""},
        {"limit": "0"},
        {"limit": "-1"},
        {"limit": "ten"},
        {"offset": "2"},
        {"offset": "1767225300000"},
        {"offset": "x_y"},
    ],
)
async def test_a_wrong_page_or_status_is_400_in_the_envelope_of_ups(client: Client, params: dict[str, str]) -> None:
    status, body, _ = await client.ask("GET", JOBS, params=params)
    assert (status, body["status"], list(body["errors"])) == (400, 400, ["400"])


async def test_a_list_may_take_any_status(client: Client) -> None:
    client.adobe.set_switches(status_filter="any")
    assert ids((await client.get(JOBS, status="PROCESSING"))["records"]) == [108, 107]
    assert (await client.get(JOBS, status="SUCEEDED"))["records"] == []


# Export jobs: what one looks like, and how it moves.


async def test_a_job_is_created_new_with_an_echo_of_what_was_asked(client: Client) -> None:
    body = {
        "fields": "identities.id,personalEmail.address",
        "mergePolicy": {"id": "timestampOrdered-none-mp", "version": 1},
        "filter": {
            "segments": [{"segmentId": REGULAR, "segmentNs": "ups", "status": ["realized"]}],
            "segmentQualificationTime": {"startTime": "2018-01-01T00:00:00Z", "endTime": "2018-02-01T00:00:00+01:00"},
            "fromIngestTimestamp": "2018-01-01T00:00:00.5Z",
            "emptyProfiles": True,
        },
        "additionalFields": {
            "eventList": {
                "fields": "_id,_experience",
                "filter": {"fromIngestTimestamp": "2018-01-01T00:00:00Z", "toIngestTimestamp": "2020-01-01T00:00:00Z"},
            }
        },
        "destination": {"datasetId": NEWSLETTER, "segmentPerBatch": False},
        "schema": {"name": "_xdm.context.profile"},
        "evaluationInfo": {"segmentation": True},
    }
    client.adobe.set_switches(unknown_properties="refused")
    status, job, headers = await client.ask("POST", JOBS, body, {"x-profile-instance-id": "mine"})
    assert (status, headers["X-Location"]) == (200, f"/export/jobs/{job['id']}")
    assert job == {
        "id": 3001,
        "jobType": "BATCH",
        "destination": {
            "datasetId": NEWSLETTER,
            "segmentPerBatch": False,
            "batchId": job["destination"]["batchId"],
        },
        **{name: body[name] for name in ("fields", "schema", "filter", "additionalFields", "mergePolicy")},
        "imsOrgId": "EXAMPLE00000000000000000@AdobeOrg",
        "status": "NEW",
        "profileInstanceId": "mine",
        "metrics": {"totalTime": {"startTimeInMs": 1767225600000}},
        "computeGatewayJobId": {"exportJob": ""},
        "creationTime": 1767225600000,
        "updateTime": 1767225600000,
        "requestId": job["requestId"],
    }
    assert re.fullmatch("[0-9a-f]{32}", job["destination"]["batchId"])
    assert await client.job(3001) == job


async def test_a_job_takes_the_merge_policy_of_its_segment(client: Client) -> None:
    assert (await client.run(ONE_SEGMENT))["mergePolicy"] == {"id": "example-merge-policy", "version": 1}
    everything = await client.run()
    assert not {"mergePolicy", "filter", "fields", "additionalFields"} & everything.keys()
    assert everything["profileInstanceId"] == "ups"


async def test_a_job_moves_by_the_clock_and_is_measured(client: Client) -> None:
    job = await client.run({"filter": {"segments": [{"segmentId": REGULAR}, {"segmentId": LAPSED}]}})
    client.adobe.clock.advance(5)
    job = await client.job(job["id"])
    assert (job["status"], job["updateTime"]) == ("PROCESSING", 1767225605000)
    assert job["metrics"] == {
        "totalTime": {"startTimeInMs": 1767225600000},
        "profileExportTime": {"startTimeInMs": 1767225605000},
    }
    assert job["computeGatewayJobId"]["exportJob"]
    client.adobe.clock.advance(17)
    exported = {"startTimeInMs": 1767225605000, "endTimeInMs": 1767225621000, "totalTimeInMs": 16000}
    assert (await client.job(job["id"]))["metrics"] == {
        "totalTime": {"startTimeInMs": 1767225600000},
        "profileExportTime": exported,
        "aCPDatasetWriteTime": {"startTimeInMs": 1767225621000},
    }
    client.adobe.clock.advance(3)
    job = await client.job(job["id"])
    assert (job["status"], job["updateTime"], job.get("errors")) == ("SUCCEEDED", 1767225625000, None)
    assert job["metrics"] == {
        "totalTime": {"startTimeInMs": 1767225600000, "endTimeInMs": 1767225625000, "totalTimeInMs": 25000},
        "profileExportTime": exported,
        "aCPDatasetWriteTime": {"startTimeInMs": 1767225621000, "endTimeInMs": 1767225625000, "totalTimeInMs": 4000},
        "totalExportedProfileCounter": 1500,
        "exportedProfileByNamespaceCounter": {"email": 1350, "crmid": 750},
    }


async def test_jobs_may_end_badly(client: Client) -> None:
    client.adobe.set_switches(jobs_end_in="FAILED", waiting_s=1, running_s=2)
    job = await client.run(ONE_SEGMENT)
    assert job["destination"]["batchId"]
    client.adobe.clock.advance(3)
    job = await client.job(job["id"])
    assert (job["status"], job["destination"]["batchId"]) == ("FAILED", "")
    assert [error["code"] for error in job["errors"]] == ["0090000009", "unknown"]
    assert all(error.keys() == {"code", "msg", "callStack"} for error in job["errors"])
    assert job["metrics"].keys() == {"totalTime", "profileExportTime"}
    assert job["metrics"]["profileExportTime"]["totalTimeInMs"] == 2000
    client.adobe.set_switches(failed_batch_id="present")
    assert (await client.job(job["id"]))["destination"]["batchId"]


async def test_what_samples_and_tables_disagree_on_is_switchable(client: Client) -> None:
    client.adobe.set_switches(dataset_key="dataSetId", errors_on_success=True, counter="top")
    job = await client.job(101)
    assert (job["destination"]["dataSetId"], "datasetId" in job["destination"]) == (NEWSLETTER, False)
    assert (job["status"], job["errors"][0]["code"]) == ("SUCCEEDED", "0100000003")
    assert (job["totalExportedProfileCounter"], "totalExportedProfileCounter" in job["metrics"]) == (1500, False)
    client.adobe.set_switches(waiting_status="QUEUED", request_id="echoed")
    job = await client.ask("POST", JOBS, CREATE, {"x-request-id": "mine"})
    assert (job.body["status"], job.body["requestId"]) == ("QUEUED", "mine")


async def test_each_segment_may_have_a_batch_of_its_own(client: Client) -> None:
    segments = [
        {"segmentId": REGULAR, "segmentNs": "ups", "status": ["realized"]},
        {"segmentId": "7", "segmentNs": "AdCloud", "status": ["exited"]},
    ]
    destination = {"datasetId": NEWSLETTER, "segmentPerBatch": True}
    job = await client.run({"filter": {"segments": segments}, "destination": destination})
    assert job["destination"].keys() == {"datasetId", "segmentPerBatch", "batches"}
    first = job["destination"]["batches"]
    assert first == {**segments[0], "batchId": first["batchId"]}
    client.adobe.set_switches(batches="array")
    first, second = (await client.job(job["id"]))["destination"]["batches"]
    assert second == {**segments[1], "batchId": second["batchId"]}
    assert first["batchId"] != second["batchId"]
    client.adobe.set_switches(batch_status="string")
    batches = (await client.job(job["id"]))["destination"]["batches"]
    assert [batch["status"] for batch in batches] == ["realized", "exited"]


async def test_the_defaults_of_a_segment_show_in_its_batch_alone(client: Client) -> None:
    client.adobe.set_switches(batches="array")
    job = await client.run(ONE_SEGMENT, {"destination": {"datasetId": NEWSLETTER, "segmentPerBatch": True}})
    assert job["filter"]["segments"] == [{"segmentId": REGULAR}]
    batch = job["destination"]["batches"][0]
    assert (batch["segmentNs"], batch["status"]) == ("ups", ["realized", "existing"])


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"destination": None}, "destination"),
        ({"destination": {}}, "destination.datasetId"),
        ({"destination": {"dataSetId": NEWSLETTER}}, "destination.datasetId"),
        ({"destination": {"datasetId": ""}}, "destination.datasetId"),
        ({"destination": {"datasetId": NEWSLETTER, "segmentPerBatch": "yes"}}, "destination.segmentPerBatch"),
        ({"schema": {}}, "schema.name"),
        ({"fields": ["email"]}, "fields"),
        ({"mergePolicy": {"id": "mp", "version": "1"}}, "mergePolicy.version"),
        ({"mergePolicy": {"id": "mp", "version": True}}, "mergePolicy.version"),
        ({"filter": {"segments": {"segmentId": REGULAR}}}, "filter.segments"),
        ({"filter": {"segments": [{"segmentNs": "ups"}]}}, "filter.segments[0].segmentId"),
        ({"filter": {"segments": [{"segmentId": REGULAR, "status": ["exiting"]}]}}, "filter.segments[0].status[0]"),
        ({"filter": {"segments": [{"segmentId": REGULAR, "status": "exited"}]}}, "filter.segments[0].status"),
        ({"filter": {"fromIngestTimestamp": "2018-01-01"}}, "filter.fromIngestTimestamp"),
        ({"filter": {"fromIngestTimestamp": "2018-13-01T00:00:00Z"}}, "filter.fromIngestTimestamp"),
        ({"filter": {"segmentQualificationTime": {"startTime": 1}}}, "filter.segmentQualificationTime.startTime"),
        ({"filter": {"emptyProfiles": 1}}, "filter.emptyProfiles"),
        ({"additionalFields": {"eventList": []}}, "additionalFields.eventList"),
        ({"evaluationInfo": {"segmentation": "true"}}, "evaluationInfo.segmentation"),
    ],
)
async def test_a_wrong_job_is_400_and_says_where(client: Client, change: dict[str, Any], path: str) -> None:
    body = {name: value for name, value in {**CREATE, **change}.items() if value is not None}
    status, answer, _ = await client.ask("POST", JOBS, body)
    assert (status, answer["title"]) == (400, "Bad Request")
    assert [text.split(" ")[0] for text in messages(answer)] == [path]


async def test_all_that_is_wrong_is_said_at_once(client: Client) -> None:
    _, answer, _ = await client.ask("POST", JOBS, {"fields": 1})
    assert messages(answer) == ["destination is required", "schema is required", "fields must be a string"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b'{"fields":"\xff"}'])
async def test_a_body_must_be_a_json_object(client: Client, body: bytes) -> None:
    for method, path in (("POST", JOBS), ("POST", DATASETS), ("PUT", f"{DATASETS}/{NEWSLETTER}")):
        status, answer, _ = await client.ask(method, path, headers={"Content-Type": "application/json"}, data=body)
        assert (status, answer["status"]) == (400, 400)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
async def test_a_body_needs_its_content_type(client: Client, content_type: str) -> None:
    for method, path in (
        ("POST", JOBS),
        ("POST", DATASETS),
        ("PUT", f"{DATASETS}/{NEWSLETTER}"),
        ("PATCH", f"{DATASETS}/{NEWSLETTER}"),
        ("PATCH", f"{CATALOG}/v2/dataSets/{NEWSLETTER}"),
    ):
        answer = await client.ask(method, path, CREATE, {"Content-Type": content_type})
        assert answer[:2] == (
            400,
            {
                "type": "/placeholder/type/uri",
                "status": 400,
                "title": "BadRequestError",
                "detail": "A valid content-type must be specified",
            },
        )


async def test_properties_that_nobody_knows_are_ignored_or_refused(client: Client) -> None:
    body = {**CREATE, "filters": {}, "destination": {"datasetId": NEWSLETTER, "segmentPerbatch": True}}
    assert not {"filters", "segmentPerbatch"} & (await client.run(body)).keys()
    assert (await client.ask("POST", DATASETS, {"nmae": "x"})).status == 201
    client.adobe.set_switches(unknown_properties="refused")
    _, answer, _ = await client.ask("POST", JOBS, body)
    assert messages(answer) == ["destination.segmentPerbatch is not known", "filters is not known"]
    status, answer, _ = await client.ask("POST", DATASETS, {"nmae": "x"})
    assert (status, answer["detail"]) == (400, "nmae is not known")


@pytest.mark.parametrize(
    ("change", "switch"),
    [
        ({"destination": {"datasetId": NOWHERE}}, "unknown_dataset_status"),
        ({"filter": {"segments": [{"segmentId": "5ca1ab1e-unknown"}]}}, "unknown_segment_status"),
    ],
)
async def test_what_a_job_is_about_has_to_be_there(client: Client, change: dict[str, Any], switch: str) -> None:
    body = {**CREATE, **change}
    assert (await client.ask("POST", JOBS, body)).status == 400
    client.adobe.set_switches(**{switch: 404})
    assert (await client.ask("POST", JOBS, body)).status == 404
    assert len((await client.get(JOBS))["records"]) == 39


@pytest.mark.parametrize(
    ("change", "switch"),
    [
        ({"destination": {"datasetId": EVENTS}}, "other_schema_status"),
        ({"filter": {"segments": [{"segmentId": "5ca1ab1e-unknown"}]}}, "unknown_segment_status"),
    ],
)
async def test_a_job_that_cannot_go_well_is_refused_or_fails(
    client: Client, change: dict[str, Any], switch: str
) -> None:
    assert (await client.ask("POST", JOBS, {**CREATE, **change})).status == 400
    client.adobe.set_switches(**{switch: 200})
    job = await client.run(change)
    assert job["status"] == "NEW"
    client.adobe.clock.advance(3600)
    assert (await client.job(job["id"]))["status"] == "FAILED"


async def test_segments_of_other_namespaces_are_not_looked_up(client: Client) -> None:
    assert (await client.run({"filter": {"segments": [{"segmentId": "1234567", "segmentNs": "AAM"}]}}))["id"] == 3001


async def test_segments_of_different_merge_policies_need_one_to_be_named(client: Client) -> None:
    segments = {"filter": {"segments": [{"segmentId": REGULAR}, {"segmentId": SUBSCRIBED}]}}
    status, body, _ = await client.ask("POST", JOBS, {**CREATE, **segments})
    assert (status, messages(body)) == (400, ["mergePolicy is required: the segments have different ones"])
    assert await client.run(segments, {"mergePolicy": {"id": "example-merge-policy"}})


# Export jobs: cancel and delete.

MARKED = {"status": True, "message": "Export job has been marked for cancelling"}


async def cancelled(client: Client, job_id: int) -> tuple[str, Answer]:
    """Cancel; return the status at once and the answer of the job after it took effect."""
    assert (await client.ask("DELETE", f"{JOBS}/{job_id}"))[:2] == (200, MARKED)
    at_once = (await client.job(job_id))["status"]
    client.adobe.clock.advance(5)
    return at_once, await client.ask("GET", f"{JOBS}/{job_id}")


@pytest.mark.parametrize(("job_id", "before"), [(107, "PROCESSING"), (109, "NEW")])
async def test_a_cancelled_job_fails_as_far_as_the_document_knows(client: Client, job_id: int, before: str) -> None:
    at_once, (status, job, _) = await cancelled(client, job_id)
    assert (at_once, status, job["status"]) == (before, 200, "FAILED")
    assert [error["msg"] for error in job["errors"]] == ["Job was cancelled."]
    assert job["updateTime"] == 1767225605000
    assert job["metrics"]["totalTime"]["endTimeInMs"] == 1767225605000
    assert ("profileExportTime" in job["metrics"]) is (before == "PROCESSING")
    client.adobe.clock.advance(HALF_A_DAY_S)
    assert await client.job(job_id) == job


@pytest.mark.parametrize("job_id", [107, 109])
async def test_a_cancelled_job_may_show_the_words_of_segment_jobs(client: Client, job_id: int) -> None:
    client.adobe.set_switches(after_cancel="CANCELLED")
    at_once, (_, job, _) = await cancelled(client, job_id)
    assert (at_once, job["status"], job.get("errors")) == ("CANCELLING", "CANCELLED", None)


async def test_a_cancelled_job_may_be_gone(client: Client) -> None:
    client.adobe.set_switches(after_cancel="gone")
    at_once, (status, body, _) = await cancelled(client, 107)
    assert (at_once, status, list(body["errors"])) == ("PROCESSING", 404, ["404"])
    assert 107 not in ids((await client.get(JOBS))["records"])
    assert (await client.ask("DELETE", f"{JOBS}/107")).status == 404


async def test_a_cancel_may_be_ignored(client: Client) -> None:
    client.adobe.set_switches(after_cancel="ignored")
    at_once, (_, job, _) = await cancelled(client, 107)
    assert (at_once, job["status"]) == ("PROCESSING", "PROCESSING")
    client.adobe.clock.advance(HALF_A_DAY_S)
    assert (await client.job(107))["status"] == "SUCCEEDED"


async def test_a_job_that_is_being_cancelled_can_be_cancelled_again(client: Client) -> None:
    assert (await client.ask("DELETE", f"{JOBS}/108"))[:2] == (200, MARKED)
    assert (await client.job(108))["updateTime"] == 1767225590000


@pytest.mark.parametrize("job_id", [101, 102, 103, 104, 105])
async def test_delete_of_a_final_job_removes_its_record(client: Client, job_id: int) -> None:
    assert (await client.ask("DELETE", f"{JOBS}/{job_id}"))[:2] == (200, MARKED)
    assert (await client.ask("GET", f"{JOBS}/{job_id}")).status == 404
    assert client.adobe.journal[0]["method"] == "DELETE"


async def test_delete_may_answer_204_without_a_body(client: Client) -> None:
    client.adobe.set_switches(delete_job_status=204)
    status, body, headers = await client.ask("DELETE", f"{JOBS}/107")
    assert (status, body, headers.get("Content-Type")) == (204, None, None)


@pytest.mark.parametrize("job_id", ["999", "x", "0101", "101.0"])
async def test_an_unknown_job_is_404(client: Client, job_id: str) -> None:
    for method in ("GET", "DELETE"):
        assert (await client.ask(method, f"{JOBS}/{job_id}")).status == 404


# Export jobs: what they leave in Catalog.


async def test_a_job_fills_a_batch_and_its_dataset_knows(client: Client) -> None:
    job = await client.run(ONE_SEGMENT)
    batch_id = job["destination"]["batchId"]
    path = f"{CATALOG}/batches/{batch_id}"
    assert (await client.ask("GET", path)).status == 404
    client.adobe.clock.advance(5)
    assert (await client.get(path))[batch_id]["status"] == "processing"
    assert (await client.dataset(NEWSLETTER))["lastBatchStatus"] == "processing"
    client.adobe.clock.advance(20)
    batch = (await client.get(path))[batch_id]
    assert (batch["status"], batch["recordCount"]) == ("success", 1200)
    assert (batch["started"], batch["completed"]) == (1767225605000, 1767225625000)
    assert batch["relatedObjects"] == [{"type": "dataSet", "id": NEWSLETTER}]
    dataset = await client.dataset(NEWSLETTER)
    assert (dataset["lastBatchId"], dataset["lastSuccessfulBatch"]) == (batch_id, batch_id)
    assert dataset["lastFailedBatch"] not in (batch_id, "")


async def test_a_cancelled_job_leaves_its_batch_aborted(client: Client) -> None:
    batch_id = (await client.job(107))["destination"]["batchId"]
    await cancelled(client, 107)
    path = f"{CATALOG}/batches/{batch_id}"
    assert (await client.get(path))[batch_id]["status"] == "aborted"
    assert (await client.get(path, aggregate="true"))[batch_id]["status"] == "aborted"
    assert (await client.ask("GET", f"{path}?aggregate=1")).status == 400


# Catalog: lists.


async def test_datasets_are_a_map_by_id_of_20_unless_asked(client: Client) -> None:
    body = await client.get(DATASETS)
    assert len(body) == 20
    assert all(re.fullmatch("[0-9a-f]{24}", id_) and "id" not in row for id_, row in body.items())
    assert next(iter(body)) == EVENTS
    # Chronologically.
    created = [row["created"] for row in body.values()]
    assert created == sorted(created)


@pytest.mark.parametrize("limit", [1, 7, 55, 100])
async def test_pages_of_datasets_concatenate_to_the_whole(client: Client, limit: int) -> None:
    found: list[str] = []
    for start in range(0, 121, limit):
        page = await client.get(DATASETS, limit=limit, start=start)
        assert len(page) == min(limit, max(0, 110 - start))
        found += page
    assert len(set(found)) == len(found) == 110


async def test_few_datasets_are_on_the_union_schema_and_one_is_far_back(client: Client) -> None:
    pages = [await client.get(DATASETS, limit=100, start=start) for start in (0, 100)]
    union = [[id_ for id_, row in page.items() if row["schemaRef"]["id"] == UNION] for page in pages]
    assert ([len(page) for page in union], union[1]) == ([7, 1], [LATE])


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "-1"},
        {"limit": "ten"},
        {"start": "-1"},
        {"start": "x"},
        {"created": "yesterday"},
        {"created": str(2**63)},
        {"enableErrorDiagnostics": "maybe"},
        {"orderBy": "up:name"},
        {"orderBy": "name;created"},
        {"tags": "team"},
        {"tags": ":crm"},
        {"property": "name~["},
        {"property": "schemaRef.id==x"},
        {"property": "!name==x"},
    ],
)
async def test_a_wrong_list_of_datasets_is_400_in_the_envelope_of_catalog(
    client: Client, params: dict[str, str]
) -> None:
    status, body, _ = await client.ask("GET", DATASETS, params=params)
    assert (status, body.keys()) == (400, {"type", "status", "title", "detail"})
    assert (body["type"], body["title"]) == ("/placeholder/type/uri", "BadRequestError")


async def found(client: Client, **params: str) -> list[int]:
    """Return the numbers of the datasets that match."""
    return [int(id_[8:], 16) for id_ in await client.get(DATASETS, **{"limit": "100", **params})]


async def test_simple_filters_take_lists_negation_and_wildcards_in_names(client: Client) -> None:
    assert await found(client, name="Example shop archive") == [57]
    assert await found(client, name="Example shop archive,Example shop late export") == [57, 108]
    assert await found(client, name="Example shop * export") == [2, 108]
    assert await found(client, name="Example shop archi**") == []
    rest = await found(client, name="!Example shop archive,Example shop profile export", start="0")
    assert (len(rest), {2, 57} & set(rest)) == (100, set())
    # Wildcards are of names alone, and what is not there is not equal.
    assert await found(client, description="Invented*") == []
    assert await found(client, description="!Invented dataset number 1", property="!description") == [108]
    assert await found(client, description="Invented dataset number 7") == [7]
    assert await found(client, created="1732752000000") == [1]
    assert await found(client, createdUser="example_user@AdobeID", name="Example shop archive") == [57]


async def test_tags_are_pairs_with_wildcards_and_all_must_hold(client: Client) -> None:
    assert await found(client, tags="team:crm") == [2]
    assert await found(client, tags="team:*") == [2]
    assert await found(client, tags="unifiedProfile:enabled:true") == [2]
    assert await found(client, tags="adobe/pqs/table:example_table_5*") == [5, *range(50, 60)]
    assert await found(client, tags="adobe/pqs/table:example_table_2,team:web") == [2]
    assert await found(client, tags="adobe/pqs/table:example_table_1,team:web") == []


async def test_property_takes_the_documented_conditions(client: Client) -> None:
    assert await found(client, property="!description") == [108]
    assert 108 not in await found(client, property="description", start="10")
    assert await found(client, property="name==Example shop archive") == [57]
    assert len(await found(client, property="name!=Example shop archive", start="50")) == 59
    assert await found(client, property="name~^Example shop (late|profile)") == [2, 108]
    assert await found(client, property="created<1732838400000") == [1]
    assert await found(client, property="created<=1732838400000") == [1, 2]
    assert await found(client, property="created>1742083200000") == [110]
    assert await found(client, property="created>=1742083200000") == [109, 110]
    assert await found(client, property="version>1.0.0") == []
    for _ in range(10):
        await client.ask("PATCH", f"{DATASETS}/{EVENTS}", {})
    # Versions are compared by their numbers: 1.0.10 is more than 1.0.9.
    assert await found(client, property="version>1.0.9") == [1]


async def test_orders_take_several_properties_and_directions(client: Client) -> None:
    assert (await found(client, orderBy="desc:created"))[:2] == [110, 109]
    assert (await found(client, orderBy="name"))[:2] == [57, 1]
    await client.ask("PATCH", f"{DATASETS}/{EVENTS}", {"name": "A"})
    await client.ask("PATCH", f"{DATASETS}/{LATE}", {"name": "A"})
    assert (await found(client, orderBy="asc:name,desc:created"))[:3] == [108, 1, 57]
    assert (await found(client, orderBy="description", start="100"))[-1] == 108


async def test_properties_limit_what_is_shown(client: Client) -> None:
    body = await client.get(DATASETS, limit=100, properties="name,description,sampleKey")
    assert body[EVENTS] == {"name": "Example shop events 001", "description": "Invented dataset number 1"}
    body = await client.get(f"{DATASETS}/{LATE}", properties="description")
    assert body == {LATE: {}}
    assert len(await client.get(DATASETS, limit=100, properties="name,observableSchema")) == 20


# Catalog: one dataset.


async def test_a_dataset_is_a_map_of_one_with_its_version_as_etag(client: Client) -> None:
    status, body, headers = await client.ask("GET", f"{DATASETS}/{NEWSLETTER}")
    assert (status, headers["ETag"], list(body)) == (200, '"1.0.0"', [NEWSLETTER])
    row = body[NEWSLETTER]
    assert row["schemaRef"] == {"id": UNION, "contentType": "application/vnd.adobe.xed+json;version=1"}
    assert (row["name"], row["version"], row["created"]) == ("Example shop newsletter audience", "1.0.0", 1733097600000)
    client.adobe.set_switches(etag_header="E-Tag", etag="updated")
    _, _, headers = await client.ask("GET", f"{DATASETS}/{NEWSLETTER}")
    assert (headers["E-Tag"], "ETag" in headers) == ('"1733097600000"', False)


async def test_several_datasets_are_looked_up_by_a_list_of_ids(client: Client) -> None:
    status, body, headers = await client.ask("GET", f"{DATASETS}/{NEWSLETTER},{NOWHERE},{EVENTS}?properties=name")
    assert (status, list(body), "ETag" in headers) == (200, [NEWSLETTER, EVENTS], False)
    assert body[EVENTS] == {"name": "Example shop events 001"}


async def test_an_unknown_dataset_is_404_in_the_documented_words(client: Client) -> None:
    error = {"type": "/placeholder/type/uri", "status": 404, "title": "NotFoundError", "detail": "DataSet not found."}
    for method, body in (("GET", None), ("PUT", {}), ("PATCH", {})):
        assert (await client.ask(method, f"{DATASETS}/{NOWHERE}", body))[:2] == (404, error)
    assert (await client.ask("PATCH", f"{CATALOG}/v2/dataSets/{NOWHERE}", {}))[:2] == (404, error)


NEW = {
    "name": "Profile Data Export",
    "schemaRef": {"id": UNION, "contentType": "application/vnd.adobe.xed+json;version=1"},
    "fileDescription": {"persisted": True, "containerFormat": "parquet", "format": "parquet"},
    "tags": {"team": ["crm"]},
}


async def test_a_dataset_is_created_and_referred_to(client: Client) -> None:
    client.adobe.set_switches(unknown_properties="refused")
    status, body, headers = await client.ask("POST", f"{DATASETS}?requestDataSource=true", NEW)
    (reference,) = body
    assert (status, headers["Location"]) == (201, f"{DATASETS}/{reference.removeprefix('@/dataSets/')}")
    row = await client.dataset(reference.removeprefix("@/dataSets/"))
    assert NEW.items() <= row.items()
    assert (row["version"], row["created"], row["updated"]) == ("1.0.0", 1767225600000, 1767225600000)
    assert (row["imsOrg"], row["viewId"] != "") == ("EXAMPLE00000000000000000@AdobeOrg", True)
    client.adobe.set_switches(reference="@/datasets/")
    assert (await client.ask("POST", DATASETS, NEW)).body[0].startswith("@/datasets/")


async def test_a_dry_run_answers_and_keeps_nothing(client: Client) -> None:
    dry = {"Pragma": "validate-only"}
    status, body, headers = await client.ask("POST", DATASETS, NEW, dry)
    assert (status, len(body), "Location" in headers) == (201, 1, False)
    assert (await client.ask("GET", DATASETS + body[0].removeprefix("@/dataSets"))).status == 404
    assert (await client.ask("POST", DATASETS, {"name": 1}, dry)).status == 400
    client.adobe.set_switches(validate_only="empty")
    assert (await client.ask("POST", DATASETS, NEW, dry))[:2] == (201, [])
    before = await client.dataset(NEWSLETTER)
    answer = await client.ask("PUT", f"{DATASETS}/{NEWSLETTER}", NEW, dry)
    assert answer[:2] == (200, [f"@/dataSets/{NEWSLETTER}"])
    assert await client.dataset(NEWSLETTER) == before
    assert len(client.adobe.datasets) == 110


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"name": None}, "name"),
        ({"tags": ["a"]}, "tags"),
        ({"tags": {"team": "crm"}}, "tags.team"),
        ({"tags": {"team": [1]}}, "tags.team[0]"),
        ({"schemaRef": "x"}, "schemaRef"),
        ({"schemaRef": {"id": 1}}, "schemaRef.id"),
        ({"fileDescription": {"format": "xls"}}, "fileDescription.format"),
        ({"fileDescription": {"charset": "UTF-16"}}, "fileDescription.charset"),
        ({"fileDescription": {"delimiters": [",,"]}}, "fileDescription.delimiters[0]"),
        ({"enableErrorDiagnostics": "true"}, "enableErrorDiagnostics"),
        ({"dataSourceId": 1.5}, "dataSourceId"),
        ({"observableSchema": []}, "observableSchema"),
        ({"classification": {"dataBehavior": "record", "managedBy": "ME"}}, "classification.managedBy"),
    ],
)
async def test_a_wrong_dataset_is_400_and_says_where(client: Client, body: dict[str, Any], path: str) -> None:
    for method, url in (
        ("POST", DATASETS),
        ("PUT", f"{DATASETS}/{NEWSLETTER}"),
        ("PATCH", f"{DATASETS}/{NEWSLETTER}"),
        ("PATCH", f"{CATALOG}/v2/dataSets/{NEWSLETTER}"),
    ):
        status, answer, _ = await client.ask(method, url, body)
        assert (status, answer["detail"].split(" ")[0]) == (400, path)
    assert client.adobe.datasets[NEWSLETTER]["version"] == "1.0.0"


async def test_patch_sets_what_is_given_and_merges_nothing_below(client: Client) -> None:
    before = await client.dataset(PROFILES)
    client.adobe.clock.advance(60)
    changes = {"description": "", "tags": {"team": ["app"]}, "version": "9.9.9", "created": 1}
    answer = await client.ask("PATCH", f"{DATASETS}/{PROFILES}", changes)
    assert answer[:2] == (200, [f"@/dataSets/{PROFILES}"])
    changed = {"description": "", "tags": {"team": ["app"]}, "version": "1.0.1", "updated": 1767225660000}
    assert await client.dataset(PROFILES) == {**before, **changed}


async def test_put_replaces_all_that_callers_write(client: Client) -> None:
    client.adobe.set_switches(unknown_properties="refused")
    row = await client.dataset(PROFILES)
    whole = {name: value for name, value in row.items() if name not in {"description", "tags"}}
    answer = await client.ask("PUT", f"{DATASETS}/{PROFILES}", {**whole, "name": "Replaced"})
    assert answer[:2] == (200, [f"@/dataSets/{PROFILES}"])
    after = await client.dataset(PROFILES)
    assert (after["name"], after["version"], after["created"]) == ("Replaced", "1.0.1", row["created"])
    assert row.keys() - after.keys() == {"description", "tags"}


async def test_the_second_version_of_patch_merges_below(client: Client) -> None:
    body = {
        "tags": {"team": ["app"], "new": ["x"]},
        "extensions": {"adobe_lakeHouse": {"rowExpiration": {"ttlValue": "P3Y"}}},
    }
    answer = await client.ask("PATCH", f"{CATALOG}/v2/dataSets/{PROFILES}", body)
    assert answer[:2] == (200, [f"@/dataSets/{PROFILES}"])
    row = await client.dataset(PROFILES)
    assert row["tags"] == {
        "adobe/pqs/table": ["example_table_2"],
        "unifiedProfile": ["enabled:true"],
        "team": ["app"],
        "new": ["x"],
    }
    assert row["extensions"] == body["extensions"]


async def patch(client: Client, *steps: object) -> Answer:
    headers = {"Content-Type": "application/json-patch+json"}
    return await client.ask("PATCH", f"{DATASETS}/{PROFILES}", list(steps), headers)


async def test_json_patch_changes_single_places(client: Client) -> None:
    answer = await patch(
        client,
        {"op": "test", "path": "/name", "value": "Example shop profile export"},
        {"op": "replace", "path": "/name", "value": "Patched"},
        {"op": "add", "path": "/tags/unifiedIdentity", "value": ["enabled:true"]},
        {"op": "add", "path": "/tags/team/-", "value": "app"},
        {"op": "add", "path": "/tags/team/0", "value": "shop"},
        {"op": "replace", "path": "/tags/team/1", "value": "service"},
        {"op": "remove", "path": "/tags/team/2"},
        {"op": "remove", "path": "/tags/adobe~1pqs~1table"},
        {"op": "remove", "path": "/description"},
        {"op": "add", "path": "/observableSchema", "value": {"anyOf": [{"title": "old"}]}},
        {"op": "replace", "path": "/observableSchema/anyOf/0/title", "value": "new"},
    )
    assert answer[:2] == (200, [f"@/dataSets/{PROFILES}"])
    row = await client.dataset(PROFILES)
    assert (row["name"], "description" in row, row["version"]) == ("Patched", False, "1.0.1")
    assert row["observableSchema"] == {"anyOf": [{"title": "new"}]}
    assert row["tags"] == {
        "unifiedProfile": ["enabled:true"],
        "team": ["shop", "service", "app"],
        "unifiedIdentity": ["enabled:true"],
    }


@pytest.mark.parametrize(
    "step",
    [
        {},
        "replace",
        {"op": "replace", "path": "/state", "value": "x"},
        {"op": "remove", "path": "/tags/nothing"},
        {"op": "add", "path": "/name/x", "value": "x"},
        {"op": "add", "path": "name", "value": "x"},
        {"op": "add", "path": "x/name", "value": "x"},
        {"op": "add", "path": "/name"},
        {"op": "add", "path": "/tags/team/9", "value": "x"},
        {"op": "remove", "path": "/tags/team/-1"},
        {"op": "test", "path": "/name", "value": "other"},
        {"op": "rename", "path": "/name", "value": "x"},
        {"op": "add", "path": "/name", "value": 1},
        {"op": "add", "path": "/tags/team", "value": "crm"},
    ],
)
async def test_a_json_patch_applies_whole_or_not_at_all(client: Client, step: object) -> None:
    before = await client.dataset(PROFILES)
    first = {"op": "add", "path": "/tags/team/0", "value": "early"}
    assert (await patch(client, first, step)).status == 400
    assert await client.dataset(PROFILES) == before


async def test_a_json_patch_is_an_array(client: Client) -> None:
    headers = {"Content-Type": "application/json-patch+json"}
    assert (await client.ask("PATCH", f"{DATASETS}/{PROFILES}", {"name": "x"}, headers)).status == 400


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"If-Match": '"1.0.0"'}, True),
        ({"If-Match": "1.0.0"}, True),
        ({"If-Match": 'W/"1.0.0"'}, True),
        ({"If-Match": '"0.9.0", "1.0.0"'}, True),
        ({"If-Match": "*"}, True),
        ({"If-Match": '"0.9.0"'}, False),
        ({"If-Match": ""}, False),
        ({"If-None-Match": '"0.9.0"'}, True),
        ({"If-None-Match": '"1.0.0"'}, False),
        ({"If-None-Match": "*"}, False),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", DATASETS), ("PATCH", f"{CATALOG}/v2/dataSets"), ("PUT", DATASETS), ("DELETE", DATASETS)],
)
async def test_a_change_may_insist_on_a_version(
    client: Client, method: str, path: str, headers: dict[str, str], passes: bool
) -> None:
    body = None if method == "DELETE" else {"name": "Changed"}
    status, answer, _ = await client.ask(method, f"{path}/{NEWSLETTER}", body, headers)
    assert status == (200 if passes else 412)
    if not passes:
        assert answer["title"] == "PreconditionFailedError"
        assert (await client.dataset(NEWSLETTER))["version"] == "1.0.0"


async def test_a_version_is_good_for_one_change(client: Client) -> None:
    path = f"{DATASETS}/{NEWSLETTER}"
    etag = {"If-Match": (await client.ask("GET", path)).headers["ETag"]}
    assert (await client.ask("PATCH", path, {"name": "One"}, etag)).status == 200
    assert (await client.ask("PATCH", path, {"name": "Two"}, etag)).status == 412
    assert (await client.dataset(NEWSLETTER))["name"] == "One"


async def test_a_deleted_dataset_is_gone_and_its_jobs_stay(client: Client) -> None:
    path = f"{DATASETS}/{NEWSLETTER}"
    assert (await client.ask("DELETE", path))[:2] == (200, [f"@/dataSets/{NEWSLETTER}"])
    assert (await client.ask("GET", path)).status == 404
    assert (await client.job(101))["destination"]["datasetId"] == NEWSLETTER
    assert (await client.ask("POST", JOBS, CREATE)).status == 400
    assert (await client.ask("DELETE", path))[:2] == (200, [])
    client.adobe.set_switches(delete_unknown_status=404)
    answer = await client.ask("DELETE", path)
    assert (answer.status, answer.body["title"]) == (404, "NotFoundError")


async def test_names_may_have_to_be_unique(client: Client) -> None:
    taken = {"name": "Example shop archive"}
    path = f"{DATASETS}/{NEWSLETTER}"
    assert (await client.ask("POST", DATASETS, taken)).status == 201
    client.adobe.reset()
    client.adobe.set_switches(duplicate_name_status=409)
    for method, url in (("POST", DATASETS), ("PATCH", path), ("PUT", path)):
        answer = await client.ask(method, url, taken)
        assert (answer.status, answer.body["title"]) == (409, "ConflictError")
    own = {"name": "Example shop newsletter audience"}
    assert (await client.ask("PATCH", path, own)).status == 200


# The whole.


async def test_reset_brings_the_seed_back_and_tokens_live_on(client: Client) -> None:
    before = [await client.get(JOBS), await client.get(DATASETS)]
    await client.run()
    await client.ask("DELETE", f"{JOBS}/101")
    await client.ask("DELETE", f"{DATASETS}/{EVENTS}")
    client.adobe.reset()
    assert [await client.get(JOBS), await client.get(DATASETS)] == before
    assert (await client.run())["id"] == 3001


async def test_the_connection_settings_reach_it(client: Client) -> None:
    settings = client.adobe.connection_settings(client.base_url)
    assert settings == {
        "ups_url": f"{client.base_url}/data/core/ups",
        "catalog_url": f"{client.base_url}/data/foundation/catalog",
        "ims_url": f"{client.base_url}/ims",
        "client_id": "sandbox-client-id",
        "client_secret": "sandbox-client-secret",
        "organization": "EXAMPLE00000000000000000@AdobeOrg",
        "sandbox": "prod",
    }


async def test_the_suite_speaks_of_what_is_there(client: Client) -> None:
    suite = client.adobe.suite
    assert json.loads(json.dumps(suite)) == suite
    client.adobe.set_switches(**suite["switches"])
    words = {
        "SUCCEEDED": "SUCCEEDED",
        "FAILED": "FAILED",
        "CANCELLED": "CANCELLED",
        "CANCELLING": "CANCELLING",
        "RUNNING": "PROCESSING",
        "PENDING": "NEW",
        "UNRECOGNIZED": "ARCHIVING",
    }
    assert {state: (await client.job(id_))["status"] for state, id_ in suite["jobs"].items()} == words
    rows = {id_: row for start in (0, 100) for id_, row in (await client.get(DATASETS, limit=100, start=start)).items()}
    union = {id_ for id_, row in rows.items() if row["schemaRef"]["id"] == UNION}
    assert len(union) == suite["destination_count"]
    assert {suite["destination_id"], suite["used_destination_id"]} <= union
    assert suite["unknown_destination_id"] not in rows
    jobs = (await client.get(JOBS, limit=1000))["records"]
    assert len(jobs) == suite["many_export_job_count"] >= 30
    assert int(suite["unknown_job_id"]) not in ids(jobs)
    active: dict[str, list[int]] = {}
    for job in jobs:
        if job["status"] in {"NEW", "PROCESSING", "CANCELLING"}:
            active.setdefault(job["destination"]["datasetId"], []).append(job["id"])
    assert suite["destination_id"] not in active
    assert str(active[suite["used_destination_id"]][0]) == suite["used_job_id"]
    assert len((await client.job(suite["log_job_id"]))["errors"]) > 1
    segments = {"filter": {"segments": [{"segmentId": suite["audience_id"]}]}}
    assert (await client.run(segments, {"destination": {"datasetId": suite["destination_id"]}}))["status"] == "NEW"
    segments = {"filter": {"segments": [{"segmentId": suite["unknown_audience_id"]}]}}
    assert (await client.ask("POST", JOBS, {**CREATE, **segments})).status == 400
    assert suite["logins"] == [TOKEN]


async def test_by_default_no_job_has_a_status_that_the_document_does_not_know(client: Client) -> None:
    jobs = (await client.get(JOBS))["records"]
    assert {job["status"] for job in jobs} == {"NEW", "PROCESSING", "SUCCEEDED", "FAILED"}
    client.adobe.clock.advance(HALF_A_DAY_S)
    jobs = (await client.get(JOBS))["records"]
    assert {job["status"] for job in jobs} == {"SUCCEEDED", "FAILED"}


async def test_everything_in_the_seed_is_obviously_invented(client: Client) -> None:
    bodies = [await client.get(JOBS), *[await client.get(DATASETS, limit=100, start=start) for start in (0, 100)]]
    names = [row["name"] for body in bodies[1:] for row in body.values()]
    assert all(name.startswith("Example shop ") for name in names)
    hosts = set(re.findall(r"://([a-z0-9.-]+)", json.dumps(bodies)))
    assert hosts == {"ns.adobe.com", "shop.example"}
