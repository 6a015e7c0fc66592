"""Segment's simulator against its documentation, with an ordinary HTTP client; expected values are typed from there."""

import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from adapters.segment.sandbox import SegmentSandbox

NOW = 1_767_225_600.0  # 2026-01-01 00:00:00 UTC

WEB, WAREHOUSE = "ExampleSourceWeb000001", "ExampleSourceDwh000002"
ADS, STREAM = "00000000000000000000ca01", "00000000000000000000ca03"
CUSTOMERS, CARTS = "ExampleModel0000000201", "ExampleModel0000000202"
UPSERT, SUBSCRIBE = "ExampleAction000000301", "ExampleAction000000303"
V1, BETA, ALPHA = (f"application/vnd.segment.{version}+json" for version in ("v1", "v1beta", "v1alpha"))


def destination(number: int) -> str:
    return f"destinations/00000000000000000000d{number}"


def subscription(number: int) -> str:
    return f"ExampleSubscription{number}"


LETTER = f"{destination(101)}/subscriptions/{subscription(101)}"
BENCH = f"reverse-etl-models/{CUSTOMERS}/subscriptionId/{subscription(106)}/syncs"
METRICS = f"{destination(101)}/delivery-metrics"


class Client:
    """The simulator and an ordinary HTTP client of it, with a token that may do everything."""

    def __init__(self, segment: SegmentSandbox, base_url: str, session: aiohttp.ClientSession) -> None:
        self.segment, self.base_url, self.session = segment, base_url, session

    async def answer(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, aiohttp.ClientResponse]:
        """Return status, JSON and the response of a request whose path and query go as they stand."""
        sent = {"Authorization": "Bearer sandbox-token"} | (headers or {})
        url = URL(f"{self.base_url}/{path}", encoded=True)
        async with self.session.request(method, url, json=body, headers=sent) as response:
            return response.status, json.loads(await response.read()), response

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Return status and JSON."""
        return (await self.answer(method, path, body, headers))[:2]

    async def get(self, path: str) -> Any:
        """Return the data of what must be there."""
        return await self.do("GET", path)

    async def do(self, method: str, path: str, body: object = None) -> Any:
        """Return the data of what must succeed."""
        status, answer = await self.ask(method, path, body)
        assert (status, list(answer)) == (200, ["data"]), answer
        return answer["data"]

    async def refused(self, method: str, path: str, body: object = None) -> tuple[int, list[str]]:
        """Return the status and the fields of a refusal."""
        status, answer = await self.ask(method, path, body)
        assert list(answer) == ["errors"], answer
        assert all(error["type"] and error["message"] for error in answer["errors"])
        return status, [error.get("field", "") for error in answer["errors"]]

    async def settings(self, number: int) -> Any:
        return (await self.get(destination(number)))["destination"]["settings"]

    async def start(self, number: int = 101, model_id: str = CUSTOMERS) -> str:
        """Start a sync and return the path of its status."""
        body = {"sourceId": WAREHOUSE, "modelId": model_id, "subscriptionId": subscription(number)}
        started = (await self.do("POST", "reverse-etl-syncs", body))["reverseETLManualSync"]
        assert set(started) == {"syncId", "startedAt"}
        return f"reverse-etl-models/{model_id}/syncs/{started['syncId']}"

    async def sync(self, path: str) -> Any:
        return (await self.get(path))["reverseETLSyncStatus"]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    segment = SegmentSandbox(frozen_at=NOW)
    base_url = await segment.start()
    async with aiohttp.ClientSession() as session:
        yield Client(segment, base_url, session)
    await segment.stop()


# Access.


@pytest.mark.parametrize("credential", ["", "Bearer", "Bearer wrong", "sandbox-token", "Basic sandbox-token"])
async def test_a_missing_or_wrong_token_is_401_on_every_path(client: Client, credential: str) -> None:
    for path in ("", "destinations", LETTER, "nowhere"):
        status, answer = await client.ask("GET", path, Authorization=credential)
        assert (status, list(answer)) == (401, ["errors"])


async def test_the_workspace_is_a_cheap_check_of_the_token(client: Client) -> None:
    assert set((await client.get(""))["workspace"]) == {"id", "slug", "name"}
    assert (await client.ask("GET", "", Authorization="bearer sandbox-token"))[0] == 200


async def test_a_token_that_may_only_read_is_refused_like_no_token(client: Client) -> None:
    reader = {"Authorization": "Bearer sandbox-token-read-only"}
    assert (await client.ask("GET", destination(101), **reader))[0] == 200
    assert (await client.ask("PATCH", destination(101), {"enabled": False}, **reader))[0] == 401
    client.segment.set_switches(forbidden_status=403)
    assert (await client.ask("DELETE", destination(101), **reader))[0] == 403
    assert (await client.get(destination(101)))["destination"]["enabled"]


async def test_write_keys_of_sources_are_for_those_who_may_write(client: Client) -> None:
    path, reader = f"sources/{WEB}", {"Authorization": "Bearer sandbox-token-read-only"}
    assert (await client.get(path))["source"]["writeKeys"] == ["fake-write-key-of-web"]
    assert (await client.ask("GET", path, **reader))[1]["data"]["source"]["writeKeys"] == []


# Versions.


@pytest.mark.parametrize(
    ("path", "accept", "content_type"),
    [
        ("destinations", "*/*", V1),
        ("destinations", V1, V1),
        ("destinations", BETA, BETA),
        ("destinations", ALPHA, ALPHA),
        ("destinations", "application/json", "application/json"),
        ("destinations", f"application/json;q=0.5, {ALPHA};q=0.9, text/html", ALPHA),
        ("destinations", f"{V1};q=0, {BETA}", BETA),
        ("destinations", f"{V1}, application/json", V1),
        ("destinations", "application/vnd.segment.stable+json", V1),
        ("destinations", "text/html, application/*;q=0.1", V1),
        (f"{METRICS}?sourceId={WAREHOUSE}", "*/*", BETA),
        (f"{METRICS}?sourceId={WAREHOUSE}", ALPHA, ALPHA),
        (f"{METRICS}?sourceId={WAREHOUSE}", "application/json", "application/json"),
        (LETTER, "*/*", ALPHA),
        (LETTER, f"{V1}, {ALPHA};q=0.1", ALPHA),
        (BENCH, "application/vnd.segment.alpha+json", ALPHA),
    ],
)
async def test_accept_and_the_endpoint_agree_on_a_version(
    client: Client, path: str, accept: str, content_type: str
) -> None:
    status, _, response = await client.answer("GET", path, headers={"Accept": accept})
    assert (status, response.headers["Content-Type"]) == (200, content_type)


@pytest.mark.parametrize(
    ("path", "accept"),
    [("destinations", "text/html"), (f"{METRICS}?sourceId={WAREHOUSE}", V1), (LETTER, V1), (LETTER, BETA), (BENCH, V1)],
)
async def test_a_version_that_an_endpoint_does_not_have_is_406(client: Client, path: str, accept: str) -> None:
    status, answer, response = await client.answer("GET", path, headers={"Accept": accept})
    assert (status, list(answer), response.content_type) == (406, ["errors"], "application/json")


async def test_plain_json_may_be_answered_as_the_most_stable_version(client: Client) -> None:
    client.segment.set_switches(json_content_type="versioned")
    for path, content_type in (("destinations", V1), (LETTER, ALPHA)):
        response = (await client.answer("GET", path, headers={"Accept": "application/json"}))[2]
        assert response.headers["Content-Type"] == content_type


@pytest.mark.parametrize(
    ("path", "content_type", "status"),
    [
        (destination(101), "application/json; charset=utf-8", 200),
        (destination(101), BETA, 200),
        (destination(101), "text/plain", 415),
        (LETTER, ALPHA, 200),
        (LETTER, V1, 415),
    ],
)
async def test_a_body_is_taken_in_the_types_of_the_endpoint(
    client: Client, path: str, content_type: str, status: int
) -> None:
    body = {"name": "Typed", "input": {"name": "Typed"}}
    assert (await client.ask("PATCH", path, body, **{"Content-Type": content_type}))[0] == status
    assert ("Typed" in str(await client.get(path))) == (status == 200)


# Pages.


CURSOR_2 = "Mg=="  # base64 of 2
ENCODINGS = {
    "dotted": f"destinations?pagination.count=3&pagination.cursor={quote(CURSOR_2)}",
    "bracket": f"destinations?pagination[count]=3&pagination[cursor]={CURSOR_2}",
    "escaped": f"destinations?pagination%5Bcursor%5D={quote(CURSOR_2)}&pagination%5Bcount%5D=3",
    "json": "destinations?pagination=" + quote(json.dumps({"cursor": CURSOR_2, "count": 3})),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_every_encoding_of_the_pagination_gives_the_same_page(client: Client, encoding: str) -> None:
    data = await client.get(ENCODINGS[encoding])
    assert [row["id"][-4:] for row in data["destinations"]] == ["d103", "d104", "d105"]
    assert data["pagination"] == {"current": "Mg==", "next": "NQ==", "previous": "MA==", "totalEntries": 7}


async def test_pagination_may_come_in_a_body(client: Client) -> None:
    data = await client.do("GET", "destinations", {"pagination": {"count": 3, "cursor": CURSOR_2}})
    assert [row["id"][-4:] for row in data["destinations"]] == ["d103", "d104", "d105"]


async def test_the_first_page_has_no_previous_and_the_last_no_next(client: Client) -> None:
    first = (await client.get("destinations?pagination[count]=5"))["pagination"]
    assert first == {"current": "MA==", "next": "NQ==", "totalEntries": 7}
    last = (await client.get("destinations?pagination[count]=5&pagination[cursor]=NQ=="))["pagination"]
    assert last == {"current": "NQ==", "previous": "MA==", "totalEntries": 7}
    client.segment.set_switches(edge_cursors="null", total_entries=False)
    assert (await client.get("destinations"))["pagination"] == {"current": "MA==", "next": None, "previous": None}


@pytest.mark.parametrize("count", [1, 2, 3, 6, 7, 8, 1000])
@pytest.mark.parametrize(
    ("path", "key", "total"),
    [
        ("destinations", "destinations", 7),
        (f"{destination(101)}/subscriptions", "subscriptions", 3),
        ("sources", "sources", 2),
        (f"sources/{WAREHOUSE}/connected-destinations", "destinations", 5),
        ("catalog/destinations", "destinationsCatalog", 3),
    ],
)
async def test_pages_concatenate_to_the_whole(client: Client, path: str, key: str, total: int, count: int) -> None:
    found: list[str] = []
    query: str | None = f"pagination[count]={count}"
    while query:
        data = await client.get(f"{path}?{query}")
        assert data[key]
        found += [row["id"] for row in data[key]]
        following = data["pagination"].get("next")
        query = f"pagination[count]={count}&pagination[cursor]={following}" if following else None
    assert len(found) == len(set(found)) == total


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("pagination[count]=0", ["pagination.count"]),
        ("pagination[count]=1001", ["pagination.count"]),
        ("pagination[count]=-1", ["pagination.count"]),
        ("pagination.count=1.5", ["pagination.count"]),
        ("pagination.count=", ["pagination.count"]),
        ("pagination[cursor]=MA==", ["pagination.count"]),
        ("pagination[count]=1&pagination[cursor]=nonsense", ["pagination.cursor"]),
        ("pagination[count]=1&pagination[cursor]=LTE=", ["pagination.cursor"]),
        ("pagination[count]=no&pagination[cursor]=no", ["pagination.count", "pagination.cursor"]),
        ("pagination=%7B", ["pagination"]),
        ("pagination=%7B%22count%22%3Atrue%7D", ["pagination.count"]),
    ],
)
async def test_a_wrong_pagination_is_422_with_one_entry_for_each_problem(
    client: Client, query: str, fields: list[str]
) -> None:
    assert await client.refused("GET", f"destinations?{query}") == (422, fields)


async def test_pagination_may_be_left_out_or_required_and_may_have_the_older_maximum(client: Client) -> None:
    assert len((await client.get("destinations"))["destinations"]) == 7
    client.segment.set_switches(max_count=200)
    assert await client.refused("GET", "destinations?pagination[count]=201") == (422, ["pagination.count"])
    client.segment.set_switches(pagination="required")
    assert await client.refused("GET", "destinations") == (422, ["pagination"])


async def test_a_cursor_past_the_end_is_an_empty_last_page(client: Client) -> None:
    data = await client.get("destinations?pagination[count]=5&pagination[cursor]=OTk=")
    assert data == {"destinations": [], "pagination": {"current": "OTk=", "previous": "OTQ=", "totalEntries": 7}}


# Sources and catalog.


async def test_a_destination_carries_its_entry_of_the_catalog(client: Client) -> None:
    shown = (await client.get(destination(101)))["destination"]
    assert set(shown) == {"id", "enabled", "name", "settings", "metadata", "sourceId"}
    assert shown["metadata"] == (await client.get(f"catalog/destinations/{ADS}"))["destinationMetadata"]
    required = "id name description slug logos options status previousNames categories website components"
    required += " supportedFeatures supportedMethods supportedPlatforms actions presets"
    for item in (await client.get("catalog/destinations"))["destinationsCatalog"]:
        assert set(required.split()) <= set(item)


async def test_a_source_can_be_made_changed_and_deleted_with_its_destinations(client: Client) -> None:
    made = await client.do("POST", "sources", {"slug": "app", "enabled": True, "metadataId": "ExampleWeb"})
    path = f"sources/{made['source']['id']}"
    assert made["source"]["name"] == "app"
    assert await client.refused("PATCH", path, {"slug": "web"}) == (409, [""])
    assert (await client.do("PATCH", path, {"name": "App", "slug": "app"}))["source"]["name"] == "App"
    assert await client.get(path) == {"source": made["source"] | {"name": "App"}, "trackingPlanId": None}
    assert await client.do("DELETE", path) == {"status": "SUCCESS"}
    await client.do("DELETE", f"sources/{WEB}")
    assert await client.refused("GET", destination(104)) == (404, [""])
    assert await client.refused("POST", "sources", {"metadataId": 1}) == (422, ["slug", "enabled", "metadataId"])


# Destinations.


async def test_the_seed_has_a_disabled_one_and_one_without_a_name(client: Client) -> None:
    rows = (await client.get("destinations"))["destinations"]
    assert [row["id"][-4:] for row in rows if not row["enabled"]] == ["d103"]
    assert [row["id"][-4:] for row in rows if "name" not in row] == ["d104"]
    assert [row["id"][-4:] for row in rows if row.get("name") == ""] == ["d106"]
    assert {row["sourceId"] for row in rows} == {WEB, WAREHOUSE}


async def test_secrets_show_their_last_4_characters_and_defaults_are_added(client: Client) -> None:
    assert await client.settings(101) == {
        "apiKey": "••••••••••1111",
        "endpoint": "",
        "eventUploadThreshold": 30,
        "mapQueryParams": {},
        "retarget": True,
    }
    assert (await client.settings(105))["apiKey"] == "••••••••••"  # too short to show any of it
    assert (await client.settings(103))["authToken"] == ""
    client.segment.set_switches(masking="strings")
    assert (await client.settings(104))["stream"] == "••••••••••ream"
    client.segment.set_switches(masking="none")
    assert (await client.settings(101))["apiKey"] == "fake-key-of-nothing-1111"


async def test_a_created_destination_is_enabled_unless_it_says_otherwise(client: Client) -> None:
    body = {"sourceId": WAREHOUSE, "metadataId": ADS, "settings": {"apiKey": "3cb9b589dada", "unheardOf": [1]}}
    made = (await client.do("POST", "destinations", body))["destination"]
    assert (made["enabled"], "name" in made, made["sourceId"]) == (True, False, WAREHOUSE)
    assert (made["settings"]["apiKey"], made["settings"]["unheardOf"]) == ("••••••••••dada", [1])
    assert (await client.get(f"destinations/{made['id']}"))["destination"] == made
    off = {**body, "enabled": False, "name": "Made off"}
    made = (await client.do("POST", "destinations", off))["destination"]
    assert (made["enabled"], made["name"]) == (False, "Made off")


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        ({}, 422, ["sourceId", "metadataId", "settings"]),
        ([], 422, [""]),
        ({"sourceId": 1, "metadataId": None, "settings": []}, 422, ["sourceId", "metadataId", "settings"]),
        ({"sourceId": WEB, "metadataId": ADS, "settings": {}, "enabled": "yes"}, 422, ["enabled"]),
        ({"sourceId": WEB, "metadataId": ADS, "settings": {}, "name": None}, 422, ["name"]),
        ({"sourceId": WEB, "metadataId": ADS, "settings": {"retarget": "y"}}, 422, ["apiKey", "retarget"]),
        ({"sourceId": "nowhere", "metadataId": ADS, "settings": {}}, 404, [""]),
        ({"sourceId": WEB, "metadataId": "nothing", "settings": {}}, 404, [""]),
        ({"sourceId": WEB, "metadataId": STREAM, "settings": {"stream": "second"}}, 409, [""]),
    ],
)
async def test_a_create_is_checked_and_told_every_problem(
    client: Client, body: object, status: int, fields: list[str]
) -> None:
    fields = [f"settings.{field}" if field in {"apiKey", "retarget"} else field for field in fields]
    assert await client.refused("POST", "destinations", body) == (status, fields)
    assert len((await client.get("destinations"))["destinations"]) == 7


async def test_an_error_has_the_words_of_the_sample(client: Client) -> None:
    status, answer = await client.ask("POST", "destinations", {"sourceId": WEB, "settings": {}})
    error = {"type": "input-validation", "message": '"metadataId" is required', "field": "metadataId"}
    assert (status, answer) == (422, {"errors": [error]})
    client.segment.set_switches(error_types="document")
    assert (await client.ask("POST", "destinations", {}))[1]["errors"][0]["type"] == "ValidationFailure"


async def test_a_body_that_is_no_json_is_422(client: Client) -> None:
    url, sent = f"{client.base_url}/destinations", {"Authorization": "Bearer sandbox-token", "Content-Type": V1}
    async with client.session.post(url, data=b"{", headers=sent) as response:
        assert (response.status, list(await response.json())) == (422, ["errors"])


async def test_settings_may_go_unchecked(client: Client) -> None:
    client.segment.set_switches(settings_schema="free")
    body = {"sourceId": WEB, "metadataId": ADS, "settings": {"retarget": "y"}}
    made = (await client.do("POST", "destinations", body))["destination"]
    assert (made["settings"]["apiKey"], made["settings"]["retarget"]) == ("", "y")


async def test_an_update_changes_what_it_names(client: Client) -> None:
    before = (await client.get(destination(101)))["destination"]
    body = {"name": "Renamed", "enabled": False, "settings": {"retarget": False, "endpoint": "https://ads.example"}}
    after = (await client.do("PATCH", destination(101), body))["destination"]
    settings = before["settings"] | {"retarget": False, "endpoint": "https://ads.example"}
    assert after == before | {"name": "Renamed", "enabled": False, "settings": settings}
    assert (await client.get(destination(101)))["destination"] == after
    cleared = {"name": None, "settings": {"endpoint": None}}
    shown = (await client.do("PATCH", destination(101), cleared))["destination"]
    assert ("name" in shown, shown["settings"]["endpoint"]) == (False, "")


async def test_an_update_may_replace_all_settings(client: Client) -> None:
    client.segment.set_switches(settings_update="replaced")
    await client.do("PATCH", destination(101), {"settings": {"endpoint": "https://ads.example"}})
    assert (await client.settings(101))["apiKey"] == ""
    await client.do("PATCH", destination(104), {"settings": {"useMessageId": True}})
    assert (await client.settings(104))["externalId"] == "ExampleWorkspace000001"


async def test_only_read_only_settings_are_400_and_mixed_ones_are_dropped_silently(client: Client) -> None:
    before = await client.settings(104)
    assert await client.refused("PATCH", destination(104), {"settings": {"externalId": "mine"}}) == (400, [""])
    mixed = {"settings": {"externalId": "mine", "stream": "other"}}
    shown = (await client.do("PATCH", destination(104), mixed))["destination"]
    assert shown["settings"] == before | {"stream": "other"}
    named = {"name": "Named", "settings": {"externalId": "mine"}}
    shown = (await client.do("PATCH", destination(104), named))["destination"]
    assert (shown["name"], shown["settings"]) == ("Named", before | {"stream": "other"})


async def test_a_read_only_setting_is_not_chosen_on_create_either(client: Client) -> None:
    settings = {"externalId": "mine", "stream": "new"}
    body = {"sourceId": WAREHOUSE, "metadataId": STREAM, "settings": settings}
    made = (await client.do("POST", "destinations", body))["destination"]
    assert made["settings"]["externalId"] == "ExampleWorkspace000001"


async def test_a_masked_value_written_back_is_stored_as_it_is(client: Client) -> None:
    masked = await client.settings(101)

    def stored() -> str:
        return str(client.segment.destinations[destination(101).split("/")[1]]["settings"]["apiKey"])

    client.segment.set_switches(masked_writes="refused")
    assert await client.refused("PATCH", destination(101), {"settings": masked}) == (422, ["settings.apiKey"])
    client.segment.set_switches(masked_writes="kept")
    await client.do("PATCH", destination(101), {"settings": masked})
    assert stored() == "fake-key-of-nothing-1111"
    client.segment.set_switches(masked_writes="stored")
    await client.do("PATCH", destination(101), {"settings": masked})
    assert stored() == "••••••••••1111"


async def test_deleting_a_destination_takes_its_subscriptions_along_or_is_409(client: Client) -> None:
    client.segment.set_switches(delete_in_use="refused")
    assert await client.refused("DELETE", destination(101)) == (409, [""])
    assert await client.refused("DELETE", f"sources/{WEB}") == (409, [""])
    assert await client.do("DELETE", destination(106)) == {"status": "SUCCESS"}
    client.segment.set_switches(delete_in_use="cascades")
    assert await client.do("DELETE", destination(101)) == {"status": "SUCCESS"}
    assert await client.refused("DELETE", destination(101)) == (404, [""])
    assert await client.refused("GET", LETTER) == (404, [""])
    # A run outlives its destination.
    assert (await client.sync(f"reverse-etl-models/{CUSTOMERS}/syncs/example_sync_1001"))["syncStatus"] == "SUCCESS"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", destination(999)),
        ("PATCH", destination(999)),
        ("DELETE", destination(999)),
        ("GET", f"{destination(999)}/subscriptions"),
        ("GET", f"{destination(101)}/subscriptions/nothing"),
        ("GET", f"{destination(102)}/subscriptions/{subscription(101)}"),
        ("GET", f"{destination(999)}/delivery-metrics?sourceId={WEB}"),
        ("GET", "sources/nothing"),
        ("GET", "sources/nothing/connected-destinations"),
        ("GET", "catalog/destinations/nothing"),
        ("GET", f"reverse-etl-models/{CARTS}/syncs/example_sync_1001"),
        ("GET", f"reverse-etl-models/nothing/subscriptionId/{subscription(106)}/syncs"),
        ("GET", f"reverse-etl-models/{CUSTOMERS}/subscriptionId/nothing/syncs"),
        ("POST", f"reverse-etl-models/{CUSTOMERS}/syncs/nothing/cancel"),
        ("GET", "destination/00000000000000000000d101/filters"),
    ],
)
async def test_what_is_not_there_is_404(client: Client, method: str, path: str) -> None:
    status, answer = await client.ask(method, path, {} if method in {"PATCH", "POST"} else None)
    assert (status, answer["errors"][0]["type"]) == (404, "NotFound")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "destinations"), ("PATCH", destination(101)), ("PATCH", f"sources/{WEB}")]
)
async def test_a_request_that_needs_a_body_is_refused_without_one(client: Client, method: str, path: str) -> None:
    assert await client.refused(method, path) == (422, [""])


async def test_other_methods_are_405_and_too_long_bodies_413_in_the_envelope(client: Client) -> None:
    assert await client.refused("PUT", destination(101), {}) == (405, [""])
    url, sent = f"{client.base_url}/{destination(101)}", {"Authorization": "Bearer sandbox-token"}
    async with client.session.patch(url, data=io.BytesIO(b" " * 2_100_000), headers=sent) as response:
        assert (response.status, list(await response.json())) == (413, ["errors"])


# Subscriptions.


async def test_subscriptions_differ_in_models_and_schedules(client: Client) -> None:
    rows = (await client.get(f"{destination(101)}/subscriptions"))["subscriptions"]
    assert [(row["name"], row.get("modelId"), row.get("reverseETLSchedule")) for row in rows] == [
        ("Example customers", CUSTOMERS, {"strategy": "MANUAL", "config": None}),
        ("Example orders", None, None),
        ("Example carts", CARTS, {"strategy": "PERIODIC", "config": {"interval": "1h"}}),
    ]
    for row in rows:
        needed = {"id", "name", "actionId", "actionSlug", "destinationId", "enabled", "settings", "trigger"}
        assert needed <= set(row)


async def test_create_answers_under_another_key_than_get_and_update(client: Client) -> None:
    body = {"name": "New", "actionId": UPSERT, "trigger": 'type = "track"', "enabled": False, "modelId": CARTS}
    data = await client.do("POST", f"{destination(101)}/subscriptions", body)
    assert list(data) == ["destinationSubscription"]
    made = data["destinationSubscription"]
    assert made["settings"] == {"batchSize": 1000}  # what the action's fields save by default
    assert (made["actionSlug"], made["modelId"], made["enabled"]) == ("upsert", CARTS, False)
    path = f"{destination(101)}/subscriptions/{made['id']}"
    assert await client.get(path) == {"subscription": made}
    data = await client.do("PATCH", path, {"input": {"name": "Newer", "settings": {"email": "$.email"}}})
    assert data == {"subscription": made | {"name": "Newer", "settings": {"batchSize": 1000, "email": "$.email"}}}
    assert await client.do("DELETE", path) == {"status": "SUCCESS"}
    assert await client.refused("GET", path) == (404, [""])


async def test_a_new_subscription_is_checked(client: Client) -> None:
    path = f"{destination(101)}/subscriptions"
    assert await client.refused("POST", path, {}) == (422, ["name", "actionId", "trigger", "enabled"])
    body = {"name": "New", "actionId": SUBSCRIBE, "trigger": "", "enabled": True}
    assert await client.refused("POST", path, body) == (422, ["actionId"])
    assert await client.refused("POST", path, body | {"actionId": UPSERT, "modelId": "none"}) == (404, [""])


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"name": "Unwrapped"}, ["input"]),
        ({"input": {"enabled": 1, "name": None}}, ["input.name", "input.enabled"]),
        ({"input": {"reverseETLSchedule": None}}, ["input.reverseETLSchedule"]),
        ({"input": {"reverseETLSchedule": {}}}, ["input.reverseETLSchedule.strategy"]),
        ({"input": {"reverseETLSchedule": {"strategy": "HOURLY"}}}, ["input.reverseETLSchedule.strategy"]),
        (
            {"input": {"reverseETLSchedule": {"strategy": "SPECIFIC_DAYS", "config": {"days": [7], "hours": []}}}},
            [f"input.reverseETLSchedule.config.{name}" for name in ("days", "hours", "timezone")],
        ),
        *(
            (
                {"input": {"reverseETLSchedule": {"strategy": "PERIODIC", "config": {"interval": interval}}}},
                ["input.reverseETLSchedule.config.interval"],
            )
            for interval in ("10m", "168h", "1d", "", None)
        ),
    ],
)
async def test_an_update_of_a_subscription_is_wrapped_and_checked(
    client: Client, body: object, fields: list[str]
) -> None:
    before = await client.get(LETTER)
    assert await client.refused("PATCH", LETTER, body) == (422, fields)
    assert await client.get(LETTER) == before


@pytest.mark.parametrize(
    "schedule",
    [
        {"strategy": "MANUAL"},
        {"strategy": "periodic", "config": {"interval": "1h30m"}},
        {"strategy": "SPECIFIC_DAYS", "config": {"days": [0, 6], "hours": [0, 12], "timezone": "Europe/Prague"}},
        {"strategy": "CRON", "config": {"spec": "0 3 * * *"}},
    ],
)
async def test_a_model_and_a_schedule_are_set_by_an_update(client: Client, schedule: dict[str, Any]) -> None:
    body = {"input": {"reverseETLModelId": CARTS, "reverseETLSchedule": schedule}}
    shown = (await client.do("PATCH", LETTER, body))["subscription"]
    assert shown["modelId"] == CARTS
    assert shown["reverseETLSchedule"] == schedule | {"strategy": schedule["strategy"].upper()}


async def test_secrets_of_actions_are_masked_too(client: Client) -> None:
    path = f"{destination(102)}/subscriptions/{subscription(104)}"
    assert (await client.get(path))["subscription"]["settings"] == {"signingKey": "••••••••••3333"}
    client.segment.set_switches(masked_writes="refused")
    body = {"input": {"settings": {"signingKey": "••••••••••3333"}}}
    assert await client.refused("PATCH", path, body) == (422, ["input.settings.signingKey"])


# Delivery metrics.


def window(granularity: str, **ago: timedelta) -> str:
    """Return the path of metrics, with the times that many before now."""
    now = datetime.fromtimestamp(NOW, UTC)
    times = "".join(f"&{name}={(now - delta).strftime('%Y-%m-%dT%H:%M:%S.%fZ')}" for name, delta in ago.items())
    return f"{METRICS}?sourceId={WAREHOUSE}&granularity={granularity}{times}"


HOUR, DAY, SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)


async def test_metrics_are_one_total_a_window_by_the_documented_names(client: Client) -> None:
    summary = (await client.get(window("HOUR")))["deliveryMetricsSummary"]
    assert set(summary) == {"sourceId", "destinationMetadataId", "metrics"}
    assert (summary["sourceId"], summary["destinationMetadataId"]) == (WAREHOUSE, ADS)
    metrics = {metric["metricName"]: metric for metric in summary["metrics"]}
    assert list(metrics) == [
        *("successes", "expired", "discarded", "retried", "time_to_success", "time_to_first_attempt")
    ]
    assert metrics["successes"] == {
        "metricName": "successes",
        "total": 4 * 7 * 24 * 60,
        "breakdown": [
            {"metricName": "successes_on_first_attempt", "value": 3 * 7 * 24 * 60},
            {"metricName": "successes_after_retry", "value": 7 * 24 * 60},
        ],
    }
    assert set(metrics["expired"]) == {"metricName", "total"}
    assert [part["metricName"] for part in metrics["time_to_success"]["breakdown"]] == [
        *("time_to_success_average", "time_to_success_p95")
    ]


async def test_metrics_default_to_the_last_hour_by_the_minute_and_to_now(client: Client) -> None:
    async def successes(path: str) -> int:
        return int((await client.get(path))["deliveryMetricsSummary"]["metrics"][0]["total"])

    assert await successes(f"{METRICS}?sourceId={WAREHOUSE}") == 4 * 60
    assert await successes(window("MINUTE", startTime=2 * HOUR)) == 4 * 120
    assert await successes(window("MINUTE", startTime=2 * HOUR, endTime=HOUR)) == 4 * 60
    disabled = f"{destination(103)}/delivery-metrics?sourceId={WAREHOUSE}"
    assert await successes(disabled) == 0


@pytest.mark.parametrize(
    ("granularity", "longest", "oldest"),
    [("MINUTE", 4 * HOUR, 48 * HOUR), ("HOUR", 7 * DAY, 7 * DAY), ("DAY", 14 * DAY, 14 * DAY)],
)
async def test_windows_are_limited_to_the_second(
    client: Client, granularity: str, longest: timedelta, oldest: timedelta
) -> None:
    await client.get(window(granularity, startTime=longest))
    await client.get(window(granularity, startTime=oldest, endTime=oldest - longest))
    too_old = window(granularity, startTime=oldest + SECOND, endTime=oldest - longest + 2 * SECOND)
    assert await client.refused("GET", too_old) == (422, ["startTime"])
    start = min(longest + SECOND, oldest)
    too_long = window(granularity, startTime=start, endTime=start - longest - SECOND)
    assert await client.refused("GET", too_long) == (422, ["startTime"])


async def test_the_documented_default_start_of_day_is_outside_of_its_own_limits(client: Client) -> None:
    assert await client.refused("GET", window("DAY")) == (422, ["startTime", "startTime"])


@pytest.mark.parametrize(
    ("query", "status", "fields"),
    [
        ("", 422, ["sourceId"]),
        (f"?sourceId={WEB}", 404, [""]),
        (f"?sourceId={WAREHOUSE}&granularity=WEEK", 422, ["granularity"]),
        (f"?sourceId={WAREHOUSE}&startTime=yesterday&endTime=today", 422, ["startTime", "endTime"]),
        (f"?sourceId={WAREHOUSE}&endTime=2025-12-31T00:00:00Z", 422, ["endTime"]),
    ],
)
async def test_wrong_metrics_queries_are_refused(client: Client, query: str, status: int, fields: list[str]) -> None:
    assert await client.refused("GET", METRICS + query) == (status, fields)


# Reverse ETL syncs.


NEEDED = {"syncId", "modelId", "sourceId", "syncStatus", "duration", "startedAt"}


async def test_a_sync_follows_the_clock_with_counts_as_strings(client: Client) -> None:
    path = await client.start()
    queued = await client.sync(path)
    assert (set(queued), queued["syncStatus"], queued["startedAt"]) == (
        *(NEEDED, "IN_PROGRESS"),
        "2026-01-01T00:00:00.000Z",
    )
    client.segment.clock.advance(10)
    extracting = await client.sync(path)
    assert set(extracting) == NEEDED | {"extractPhase"}
    assert (extracting["extractPhase"]["extractCount"], extracting["extractPhase"]["finishedAt"]) == ("600", "")
    client.segment.clock.advance(10)
    loading = await client.sync(path)
    assert (loading["syncStatus"], loading["duration"]) == ("IN_PROGRESS", "0m20s")
    assert loading["extractPhase"]["finishedAt"] == "2026-01-01T00:00:15.000Z"
    assert (loading["loadPhase"]["deliverSuccessCount"], loading["loadPhase"]["finishedAt"]) == ("600", "")
    client.segment.clock.advance(100)
    done = await client.sync(path)
    assert set(done) == NEEDED | {"finishedAt", "extractPhase", "loadPhase"}
    assert (done["syncStatus"], done["duration"], done["finishedAt"]) == (
        *("SUCCESS", "0m25s"),
        "2026-01-01T00:00:25.000Z",
    )
    assert done["extractPhase"] == {
        "addedCount": "600",
        "updatedCount": "500",
        "deletedCount": "100",
        "extractCount": "1200",
        "errorCode": "",
        "startedAt": "2026-01-01T00:00:05.000Z",
        "finishedAt": "2026-01-01T00:00:15.000Z",
    }
    assert done["loadPhase"] == {
        "deliverSuccessCount": "1200",
        "deliverFailureCount": "0",
        "errorCode": "",
        "startedAt": "2026-01-01T00:00:15.000Z",
        "finishedAt": "2026-01-01T00:00:25.000Z",
    }


@pytest.mark.parametrize(
    ("outcome", "failed", "code"),
    [("SUCCESS", "0", ""), ("PARTIAL_SUCCESS", "25", ""), ("FAIL", "1200", "ExampleDestinationRefused")],
)
async def test_a_sync_ends_as_the_switch_says(client: Client, outcome: str, failed: str, code: str) -> None:
    client.segment.set_switches(syncs_end_in=outcome)
    path = await client.start()
    client.segment.set_switches(syncs_end_in="SUCCESS")
    client.segment.clock.advance(3600)
    sync = await client.sync(path)
    assert (sync["syncStatus"], sync["loadPhase"]["deliverFailureCount"]) == (outcome, failed)
    assert (sync.get("errorCode", ""), sync["loadPhase"]["errorCode"], bool(sync.get("error"))) == (
        *(code, code),
        bool(code),
    )


async def test_a_start_names_a_source_a_model_and_a_subscription_that_fit(client: Client) -> None:
    path, body = "reverse-etl-syncs", {"sourceId": WAREHOUSE, "modelId": CUSTOMERS, "subscriptionId": subscription(101)}
    assert await client.refused("POST", path, {}) == (422, ["sourceId", "modelId", "subscriptionId"])
    for name in body:
        assert await client.refused("POST", path, body | {name: "nothing"}) == (404, [""])
    assert await client.refused("POST", path, body | {"sourceId": WEB}) == (422, ["modelId"])
    assert await client.refused("POST", path, body | {"modelId": CARTS}) == (422, ["subscriptionId"])
    assert await client.refused("POST", path, body | {"subscriptionId": subscription(102)}) == (422, ["subscriptionId"])


@pytest.mark.parametrize("number", [105, 108])
async def test_a_sync_through_something_disabled_is_refused(client: Client, number: int) -> None:
    body = {"sourceId": WAREHOUSE, "modelId": CARTS, "subscriptionId": subscription(number)}
    assert await client.refused("POST", "reverse-etl-syncs", body) == (409, [""])
    client.segment.set_switches(disabled_sync_status=422)
    assert await client.refused("POST", "reverse-etl-syncs", body) == (422, [""])
    client.segment.set_switches(disabled_sync_status=200)
    assert (await client.sync(await client.start(number, CARTS)))["syncStatus"] == "IN_PROGRESS"


async def test_a_second_sync_of_a_subscription_may_be_a_conflict(client: Client) -> None:
    await client.start()
    path = await client.start()
    client.segment.set_switches(concurrent_sync_status=409, cancelling_s=60.0)
    body = {"sourceId": WAREHOUSE, "modelId": CUSTOMERS, "subscriptionId": subscription(101)}
    assert await client.refused("POST", "reverse-etl-syncs", body) == (409, [""])
    await client.do("POST", f"{path}/cancel")
    client.segment.clock.advance(25)
    assert await client.refused("POST", "reverse-etl-syncs", body) == (409, [""])
    client.segment.clock.advance(35)
    await client.start()


@pytest.mark.parametrize("count", [1, 7, 10, 29, 30, 31])
async def test_syncs_page_by_a_flat_count_and_cursor_newest_first(client: Client, count: int) -> None:
    found: list[dict[str, Any]] = []
    query: str | None = f"count={count}"
    while query:
        data = await client.get(f"{BENCH}?{query}")
        assert set(data) == {"syncStatuses", "pagination"}
        assert 0 < len(data["syncStatuses"]) <= count
        found += data["syncStatuses"]
        following = data["pagination"].get("next")
        query = f"count={count}&cursor={following}" if following else None
    assert len({sync["syncId"] for sync in found}) == len(found) == 30
    started = [sync["startedAt"] for sync in found]
    assert started == sorted(started, reverse=True)


async def test_syncs_come_10_at_a_time_and_wrong_pages_are_422(client: Client) -> None:
    assert len((await client.get(BENCH))["syncStatuses"]) == 10
    assert await client.refused("GET", f"{BENCH}?count=0&cursor=x") == (422, ["count", "cursor"])
    client.segment.set_switches(syncs_order="oldest")
    assert (await client.get(BENCH))["syncStatuses"][0]["syncId"] == "example_sync_2001"


async def test_syncs_may_know_a_subscription_by_another_id(client: Client) -> None:
    client.segment.set_switches(sync_subscription_id="mapping")
    assert await client.refused("GET", BENCH) == (404, [""])
    mapping = BENCH.replace(subscription(106), f"mapping-{subscription(106)}")
    assert len((await client.get(mapping))["syncStatuses"]) == 10


async def test_a_cancel_takes_its_time_and_is_accepted_once(client: Client) -> None:
    path = await client.start()
    ids = {"modelId": CUSTOMERS, "syncId": path.rpartition("/")[2]}
    refusal = ids | {"errorCode": "SyncAlreadyCanceled", "errorMessage": "sync already canceled"}
    client.segment.clock.advance(7)
    assert await client.do("POST", f"{path}/cancel", {"reasonForCanceling": 4}) == ids | {"status": "CANCELLING"}
    assert (await client.sync(path))["syncStatus"] == "CANCELLING"
    assert await client.do("POST", f"{path}/cancel") == refusal
    client.segment.set_switches(cancelling_status="IN_PROGRESS")
    assert (await client.sync(path))["syncStatus"] == "IN_PROGRESS"
    client.segment.clock.advance(5)
    canceled = await client.sync(path)
    assert (canceled["syncStatus"], canceled["errorCode"]) == ("FAIL", "SyncCanceled")
    assert (canceled["finishedAt"], canceled["extractPhase"]["extractCount"]) == ("2026-01-01T00:00:12.000Z", "240")
    assert "loadPhase" not in canceled
    assert await client.do("POST", f"{path}/cancel", {}) == refusal


@pytest.mark.parametrize(("word", "status"), [("fail", "FAIL"), ("canceled", "CANCELED")])
async def test_a_canceled_sync_may_become_something_else(client: Client, word: str, status: str) -> None:
    client.segment.set_switches(canceled_syncs=word, cancelling_s=0.0)
    path = await client.start()
    await client.do("POST", f"{path}/cancel")
    sync = await client.sync(path)
    assert (sync["syncStatus"], "errorCode" in sync, "extractPhase" in sync) == (status, False, False)


async def test_a_final_sync_can_not_be_cancelled(client: Client) -> None:
    path = f"reverse-etl-models/{CUSTOMERS}/syncs/example_sync_1001"
    assert await client.do("POST", f"{path}/cancel") == {
        "modelId": CUSTOMERS,
        "syncId": "example_sync_1001",
        "errorCode": "SyncFinishedCannotCancel",
        "errorMessage": "sync already finished",
    }
    client.segment.set_switches(cancel_refusal_status=409)
    assert await client.refused("POST", f"{path}/cancel") == (409, [""])
    for reason in (5, 1.5, "Other", None):
        body = {"reasonForCanceling": reason}
        assert await client.refused("POST", f"{path}/cancel", body) == (422, ["reasonForCanceling"])


# Limits.


async def test_every_success_tells_what_is_left_and_until_when(client: Client) -> None:
    for consumed in (1, 2):
        headers = (await client.answer("GET", "destinations"))[2].headers
        assert headers["X-RateLimit-Consumed"] == str(consumed)
        assert headers["X-RateLimit-Remaining"] == str(1000 - consumed)
        assert headers["X-RateLimit-Reset"] == "Thu, 01 Jan 2026 00:01:00 +0000"
    assert "X-RateLimit-Limit" not in headers
    assert "X-RateLimit-Reset" not in (await client.answer("GET", destination(999)))[2].headers


SYNC_STATUS = f"reverse-etl-models/{CUSTOMERS}/syncs/example_sync_1001"
START = {"sourceId": WAREHOUSE, "modelId": CUSTOMERS, "subscriptionId": subscription(101)}


@pytest.mark.parametrize(
    ("method", "path", "body", "limit"),
    [
        ("POST", f"{destination(101)}/subscriptions", {}, 5),
        ("PATCH", LETTER, {"input": {}}, 5),
        ("DELETE", f"{destination(101)}/subscriptions/nothing", None, 5),
        ("POST", "reverse-etl-syncs", START, 20),
        ("GET", SYNC_STATUS, None, 250),
    ],
)
async def test_an_endpoint_has_its_own_limit_a_minute(
    client: Client, method: str, path: str, body: object, limit: int
) -> None:
    await client.get("destinations")
    client.segment.clock.advance(7.5)
    for _ in range(limit):
        assert (await client.ask(method, path, body))[0] != 429
    client.segment.clock.advance(2.5)
    status, answer, response = await client.answer(method, path, body)
    data = {"remainingPoints": 0, "msBeforeNext": 57_500, "consumedPoints": limit + 1}
    error = {"type": "RequestError", "message": "Too many requests", "data": data}
    assert (status, answer, response.headers["Retry-After"]) == (429, {"errors": [error]}, "58")
    reset = parsedate_to_datetime(response.headers["X-RateLimit-Reset"])
    assert reset.timestamp() == NOW + 68  # not before the window ends
    # The others have theirs, and each token its own.
    assert (await client.ask("GET", "destinations"))[0] == 200
    reader = {"Authorization": "Bearer sandbox-token-read-only"}
    assert (await client.ask(method, path, body, **reader))[0] != 429
    client.segment.clock.advance(57.5)
    assert (await client.ask(method, path, body))[0] != 429


async def test_the_rest_share_the_default_limit(client: Client) -> None:
    client.segment.set_switches(default_limit=3, retry_after="absent", error_types="document")
    for path in ("", "destinations", LETTER):
        await client.get(path)
    status, answer, response = await client.answer("GET", "sources")
    assert (status, answer["errors"][0]["type"], "Retry-After" in response.headers) == (429, "RateLimited", False)
    client.segment.set_switches(rate_limits=False)
    assert (await client.answer("GET", "sources"))[2].headers["X-RateLimit-Remaining"] == "0"


async def test_a_fault_of_429_is_the_vendors_own(client: Client) -> None:
    client.segment.fault(path="/destinations", status=429)
    status, answer, response = await client.answer("GET", "destinations")
    assert (status, answer["errors"][0]["data"]["msBeforeNext"]) == (429, 60_000)
    assert response.headers["Retry-After"] == "60"


# The seed and what is said of it.


async def test_the_suite_says_what_is_there(client: Client) -> None:
    suite = client.segment.suite
    for key in ("destination_id", "used_destination_id", "disabled_destination_id"):
        await client.get(f"destinations/{suite[key]}")
    assert (await client.get("destinations"))["pagination"]["totalEntries"] == suite["destination_count"]
    await client.get(f"destinations/{suite['destination_id']}/subscriptions/{suite['subscription_id']}")
    words = {}
    for state, job_id in (suite["jobs"] | {"used": suite["used_job_id"]}).items():
        where, through, model_id, sync_id = job_id.replace("__", "_").split("~")
        assert (await client.get(f"destinations/{where}/subscriptions/{through}"))["subscription"][
            "modelId"
        ] == model_id
        words[state] = (await client.sync(f"reverse-etl-models/{model_id}/syncs/{sync_id}"))["syncStatus"]
    assert words == {
        "SUCCEEDED": "SUCCESS",
        "FAILED": "FAIL",
        "PARTIALLY_SUCCEEDED": "PARTIAL_SUCCESS",
        "CANCELLED": "FAIL",
        "CANCELLING": "CANCELLING",
        "RUNNING": "IN_PROGRESS",
        "UNRECOGNIZED": "REPLAYING",
        "used": "IN_PROGRESS",
    }


async def test_nothing_that_is_not_final_uses_the_destination_that_may_be_deleted(client: Client) -> None:
    for number, model_id in ((101, CUSTOMERS), (103, CARTS)):
        path = f"reverse-etl-models/{model_id}/subscriptionId/{subscription(number)}/syncs"
        syncs = (await client.get(path))["syncStatuses"]
        assert {sync["syncStatus"] for sync in syncs} <= {"SUCCESS", "PARTIAL_SUCCESS", "FAIL"}


async def test_no_answer_holds_a_secret_of_the_seed_whole(client: Client) -> None:
    client.segment.set_switches(cancelling_status="IN_PROGRESS")
    paths = ["destinations", *(f"{destination(number)}/subscriptions" for number in range(101, 108))]
    shown = str([await client.get(path) for path in paths])
    secrets = client.segment.suite["secrets"]
    assert [secret for secret in secrets if secret in shown] == ["••••"]


async def test_a_reset_brings_the_seed_back(client: Client) -> None:
    before = await client.get("destinations")
    await client.do("PATCH", destination(101), {"name": "Changed", "settings": {"apiKey": "another-key"}})
    await client.do("PATCH", destination(107), {"settings": {"paper": "A3"}})
    await client.do("DELETE", destination(102))
    client.segment.reset()
    assert await client.get("destinations") == before
    assert (await client.answer("GET", ""))[2].headers["X-RateLimit-Consumed"] == "2"


async def test_the_settings_of_a_connection_are_a_url_and_a_token(client: Client) -> None:
    assert client.segment.connection_settings("http://127.0.0.1:1") == {
        "base_url": "http://127.0.0.1:1",
        "token": "sandbox-token",
    }
