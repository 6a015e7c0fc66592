"""Meiro's simulator against its documentation, with an ordinary HTTP client; expected values are typed from there."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest

from adapters.meiro.sandbox import MeiroSandbox

NOW = 1_767_225_600.0  # 2026-01-01 00:00:00 UTC

DESTINATIONS = "segments/export/destinations"
TRASH = f"{DESTINATIONS}/trash"
NO_LIMITS = {"limit": 20, "offset": None, "order_by": "id", "order_dir": "ASC"}

# The keys of each sample in the documentation.
LISTED = {
    *("id", "user_id", "name", "description", "settings", "frontend_settings", "attribute_ids", "disabled", "deleted"),
    *("icon", "mandatory_attribute_ids", "created", "mi_workspace_id", "last_export"),
}
RETRIEVED = (LISTED - {"deleted"}) | {"data_load_start_time", "data_load_end_time"}
MODIFIED = (LISTED - {"last_export"}) | {"customer_entities_count"}
TRASHED = LISTED - {"last_export"}
EXPORT = {
    *("id", "user_id", "segment_id", "segment_export_destination_id", "name", "settings", "frontend_settings"),
    *("status", "stats", "file_download_token", "created"),
}
CANCELED = EXPORT - {"file_download_token"}


class Client:
    """The simulator and an ordinary HTTP client of it, with a token that may do everything."""

    def __init__(self, meiro: MeiroSandbox, base_url: str, session: aiohttp.ClientSession) -> None:
        self.meiro, self.base_url, self.session = meiro, base_url, session

    async def ask(
        self, method: str, path: str, body: object = None, *, token: str | None = "sandbox-token", **keys: Any
    ) -> tuple[int, Any]:
        """Return status and JSON."""
        headers = {} if token is None else {"X-Access-Token": token}
        url = f"{self.base_url}/api/{path}"
        async with self.session.request(method, url, json=body, headers=headers, **keys) as answer:
            assert answer.content_type == "application/json"
            return answer.status, await answer.json()

    async def get(self, path: str, **params: object) -> Any:
        """Return the JSON of what must be there."""
        status, answer = await self.ask("GET", path, params={name: str(value) for name, value in params.items()})
        assert status == 200, answer
        return answer

    async def run(self, segment_id: int = 301, destination_id: int = 101, **body: object) -> Any:
        """Run an export and return it."""
        body = {"segment_export_destination_id": destination_id, **body}
        status, answer = await self.ask("POST", f"segments/{segment_id}/exports", body)
        assert status == 201, answer
        return answer["segment_export"]

    async def file(self, path: str, **headers: str) -> tuple[int, bytes, Mapping[str, str]]:
        """Download."""
        headers |= {"X-Access-Token": "sandbox-token"}
        async with self.session.get(f"{self.base_url}/api/{path}", headers=headers) as answer:
            return answer.status, await answer.read(), answer.headers


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    meiro = MeiroSandbox(frozen_at=NOW)
    base_url = await meiro.start()
    async with aiohttp.ClientSession() as session:
        yield Client(meiro, base_url, session)
    await meiro.stop()


def ids(rows: list[dict[str, Any]]) -> list[Any]:
    return [row["id"] for row in rows]


# Access.


@pytest.mark.parametrize("token", [None, "", "wrong", "Bearer sandbox-token", "sandbox-token "[:-2]])
async def test_a_missing_or_wrong_token_is_401_with_a_message(client: Client, token: str | None) -> None:
    for path in (DESTINATIONS, "segments/300/exports", "nowhere"):
        status, body = await client.ask("GET", path, token=token)
        assert (status, list(body)) == (401, ["message"])
    client.meiro.set_switches(bad_token_status=403)
    assert (await client.ask("GET", DESTINATIONS, token=token))[0] == 403


async def log_in(client: Client, **body: str) -> tuple[int, Any]:
    body = {"email": "operator@shop.example", "password": "sandbox-password", **body}
    return await client.ask("POST", "users/login", body, token=None)


async def test_a_login_gives_a_token_for_8_hours(client: Client) -> None:
    status, body = await log_in(client)
    assert (status, list(body)) == (200, ["token"])
    client.meiro.clock.advance(8 * 3600 - 1)
    assert (await client.ask("GET", DESTINATIONS, token=body["token"]))[0] == 200
    client.meiro.clock.advance(1)
    assert (await client.ask("GET", DESTINATIONS, token=body["token"]))[0] == 401


@pytest.mark.parametrize("wrong", [{"password": "guess"}, {"email": "nobody@shop.example"}])
async def test_a_wrong_login_is_401_in_the_documented_words(client: Client, wrong: dict[str, str]) -> None:
    assert await log_in(client, **wrong) == (401, {"message": "Invalid credentials have been provided"})


async def test_a_token_is_refreshed_until_4_hours_after_it_ended(client: Client) -> None:
    old = (await log_in(client))[1]["token"]
    client.meiro.clock.advance(12 * 3600 - 1)
    status, body = await client.ask("PATCH", "users/login", {"token": old}, token=None)
    assert (status, list(body)) == (200, ["token"])
    assert (await client.ask("GET", DESTINATIONS, token=body["token"]))[0] == 200
    client.meiro.clock.advance(1)
    answer = await client.ask("PATCH", "users/login", {"token": old}, token=None)
    assert answer == (401, {"message": "Token is too old for refresh"})


async def test_a_token_that_was_logged_out_is_gone(client: Client) -> None:
    token = (await log_in(client))[1]["token"]
    answer = await client.ask("DELETE", "users/login", {"token": token}, token=None)
    assert answer == (200, {"message": "Successfully logged-out"})
    assert (await client.ask("GET", DESTINATIONS, token=token))[0] == 401
    assert (await client.ask("PATCH", "users/login", {"token": token}, token=None))[0] == 401


async def test_the_ways_to_log_in_need_no_token(client: Client) -> None:
    status, body = await client.ask("GET", "users/auth_options", token=None)
    assert (status, set(body["authentication_options"])) == (
        200,
        {"is_credentials_login_enabled", "is_oidc_login_enabled"},
    )
    assert (await client.ask("POST", "users/oidc_login", {"code": "sandbox-code"}, token=None))[0] == 200
    assert (await client.ask("POST", "users/oidc_login", {"code": "guess"}, token=None))[0] == 401


READ_ONLY, ONE_SEGMENT, ONE_DESTINATION = (
    "sandbox-token-read-only",
    "sandbox-token-one-segment",
    "sandbox-token-one-destination",
)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", DESTINATIONS, {READ_ONLY}),
        ("GET", f"{DESTINATIONS}/105", {READ_ONLY}),
        ("GET", f"{DESTINATIONS}/105/last_running_export", {READ_ONLY}),
        ("PATCH", f"{DESTINATIONS}/101", set()),
        ("DELETE", f"{DESTINATIONS}/101", set()),
        ("GET", TRASH, set()),
        ("PATCH", f"{TRASH}/191", set()),
        ("GET", "segments/300/exports", {READ_ONLY, ONE_SEGMENT, ONE_DESTINATION}),
        ("GET", "segments/302/exports", {READ_ONLY, ONE_DESTINATION}),
        ("GET", "segments/300/exports/1001", {READ_ONLY, ONE_SEGMENT, ONE_DESTINATION}),
        ("GET", "segments/300/exports/1002", {READ_ONLY, ONE_SEGMENT}),
        ("GET", "segments/302/exports/2001/history", {READ_ONLY, ONE_DESTINATION}),
        ("GET", "segments/302/exports/2001/history/200101", {READ_ONLY, ONE_DESTINATION}),
        ("GET", "segments/300/exports/1002/logs", {READ_ONLY, ONE_SEGMENT}),
        ("POST", "segments/301/exports", {ONE_DESTINATION}),
        ("DELETE", "segments/300/exports/1005", {ONE_SEGMENT}),
        ("GET", "segments/300/exports/1001/download", {ONE_DESTINATION}),
    ],
)
async def test_a_token_without_the_feature_is_403(client: Client, method: str, path: str, allowed: set[str]) -> None:
    body = {"segment_export_destination_id": 101} if method == "POST" else {} if method == "PATCH" else None
    for token in (READ_ONLY, ONE_SEGMENT, ONE_DESTINATION):
        headers = {"X-Access-Token": token}
        async with client.session.request(method, f"{client.base_url}/api/{path}", json=body, headers=headers) as reply:
            assert (reply.status == 403) is (token not in allowed), token
            if reply.status == 403:
                assert list(await reply.json()) == ["message"]


async def test_a_grant_for_one_destination_runs_no_export_to_another(client: Client) -> None:
    body = {"segment_export_destination_id": 102}
    assert (await client.ask("POST", "segments/301/exports", body, token=ONE_DESTINATION))[0] == 403


# Pages and order.


async def test_lists_have_20_items_and_echo_what_was_asked(client: Client) -> None:
    body = await client.get("segments/302/exports")
    assert body.keys() == {"segment_exports", "selection_settings"}
    assert ids(body["segment_exports"]) == list(range(2001, 2021))
    assert body["selection_settings"] == NO_LIMITS
    body = await client.get("segments/302/exports", limit=7, offset=0, order_by="created", order_dir="DESC")
    assert ids(body["segment_exports"]) == list(range(2030, 2023, -1))
    assert body["selection_settings"] == {"limit": 7, "offset": 0, "order_by": "created", "order_dir": "DESC"}


async def test_pages_concatenate_to_the_whole(client: Client) -> None:
    pages = [await client.get("segments/302/exports", limit=12, offset=offset) for offset in (0, 12, 24, 36)]
    assert [len(page["segment_exports"]) for page in pages] == [12, 12, 6, 0]
    assert [id_ for page in pages for id_ in ids(page["segment_exports"])] == list(range(2001, 2031))


async def test_a_limit_above_the_maximum_is_cut(client: Client) -> None:
    client.meiro.set_switches(max_limit=25)
    body = await client.get("segments/302/exports", limit=100)
    assert (len(body["segment_exports"]), body["selection_settings"]["limit"]) == (25, 25)


async def test_the_default_order_may_be_newest_first_as_the_overview_says(client: Client) -> None:
    client.meiro.set_switches(default_order="newest")
    assert ids((await client.get("segments/302/exports", limit=2))["segment_exports"]) == [2030, 2029]
    body = await client.get("segments/302/exports", limit=2, order_by="id", order_dir="ASC")
    assert ids(body["segment_exports"]) == [2001, 2002]


@pytest.mark.parametrize(
    "params",
    [
        {"order_by": "settings"},
        {"order_by": "nothing"},
        {"order_dir": "desc"},
        {"order_dir": "up"},
        {"limit": "0"},
        {"limit": "-1"},
        {"limit": "ten"},
        {"offset": "-1"},
        {"load_full_structure": "2"},
    ],
)
@pytest.mark.parametrize("path", [DESTINATIONS, "segments/300/exports", "segments/300/exports/1001/history"])
async def test_a_wrong_page_or_order_is_400(client: Client, path: str, params: dict[str, str]) -> None:
    status, body = await client.ask("GET", path, params=params)
    assert (status, list(body)) == (400, ["message"])


# Destinations.


async def test_list_destinations_shows_live_ones_disabled_too(client: Client) -> None:
    body = await client.get(DESTINATIONS)
    assert body.keys() == {"segment_export_destinations", "selection_settings"}
    rows = body["segment_export_destinations"]
    assert ids(rows) == [101, 102, 103, 104, 105, 106]
    assert [row["disabled"] for row in rows] == [0, 0, 0, 1, 0, 0]
    assert {row["deleted"] for row in rows} == {0}
    assert all(row.keys() == LISTED and row["name"].startswith("Example shop ") for row in rows)
    assert (rows[0]["last_export"], rows[5]["last_export"]) == ("2025-12-21 00:00:00", None)
    assert rows[1]["mi_workspace_id"] == 300


async def test_get_destination_has_the_fields_of_its_sample(client: Client) -> None:
    body = await client.get(f"{DESTINATIONS}/102")
    assert body.keys() == {"segment_export_destination"}
    row = body["segment_export_destination"]
    assert row.keys() == RETRIEVED
    assert row["created"] == "2024-11-28 00:00:00"
    variables = row["settings"]["mi_workspace_variables"]
    assert variables[1] == {
        "name": "port",
        "title": "Port",
        "values": {"port_home": "1234"},
        "required": True,
        "can_be_empty": False,
        "input_mode": "value_from_list",
    }
    assert [variable["name"] for variable in variables] == ["host", "port", "password"]
    push = (await client.get(f"{DESTINATIONS}/103"))["segment_export_destination"]
    assert push["settings"] == {"mandatory_attributes_operator": "and", "registration_token_attribute_id": "push_token"}


@pytest.mark.parametrize("destination_id", ["191", "999999", "abc", "1e2", "-1", "0x65", "9" * 100, "a%2Fb"])
async def test_a_destination_that_is_trashed_or_unknown_is_404(client: Client, destination_id: str) -> None:
    for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
        status, answer = await client.ask(method, f"{DESTINATIONS}/{destination_id}", body)
        assert (status, answer) == (404, {"message": "Segment export destination doesn't exist"})


async def test_patch_takes_json_in_strings_and_answers_it_decoded(client: Client) -> None:
    change = {
        "name": "CRM drop",
        "description": "segment description",
        "icon": "destination.png",
        "disabled": 1,
        "mi_workspace_id": 300,
        "attribute_ids": '["email","phone"]',
        "mandatory_attribute_ids": '["3"]',
        "settings": '{"mandatory_attributes_operator":"or"}',
        "frontend_settings": "{}",
    }
    status, body = await client.ask("PATCH", f"{DESTINATIONS}/102", change)
    row = body["segment_export_destination"]
    assert (status, row.keys(), row["customer_entities_count"]) == (200, MODIFIED, 1200)
    decoded = {
        "attribute_ids": ["email", "phone"],
        "mandatory_attribute_ids": ["3"],
        "settings": {"mandatory_attributes_operator": "or"},
        "frontend_settings": {},
    }
    assert change | decoded == {name: row[name] for name in change}
    kept = (await client.get(f"{DESTINATIONS}/102"))["segment_export_destination"]
    assert change | decoded == {name: kept[name] for name in change}


async def test_patch_changes_only_what_it_names(client: Client) -> None:
    before = (await client.get(f"{DESTINATIONS}/102"))["segment_export_destination"]
    await client.ask("PATCH", f"{DESTINATIONS}/102", {"name": "Renamed"})
    assert (await client.get(f"{DESTINATIONS}/102"))["segment_export_destination"] == before | {"name": "Renamed"}


@pytest.mark.parametrize(
    "body",
    [
        {"settings": {}},
        {"settings": "{"},
        {"settings": "[]"},
        {"frontend_settings": "null"},
        {"attribute_ids": ["email"]},
        {"attribute_ids": '{"a":1}'},
        {"mandatory_attribute_ids": "[1]"},
        {"disabled": True},
        {"disabled": 2},
        {"disabled": "1"},
        {"mi_workspace_id": "300"},
        {"name": ""},
        {"name": None},
        {"description": 1},
        {"id": 7},
        {"deleted": 1},
        {"name": "fine", "disabled": "wrong"},
        [],
        "text",
    ],
)
async def test_a_wrong_patch_is_400_and_changes_nothing(client: Client, body: object) -> None:
    before = await client.get(f"{DESTINATIONS}/102")
    status, answer = await client.ask("PATCH", f"{DESTINATIONS}/102", body)
    assert (status, list(answer)) == (400, ["message"])
    assert await client.get(f"{DESTINATIONS}/102") == before


async def test_a_lenient_patch_takes_raw_json_too(client: Client) -> None:
    client.meiro.set_switches(json_strings="lenient")
    for value in (["email"], '["email"]'):
        status, body = await client.ask("PATCH", f"{DESTINATIONS}/102", {"attribute_ids": value})
        assert (status, body["segment_export_destination"]["attribute_ids"]) == (200, ["email"])
    assert (await client.ask("PATCH", f"{DESTINATIONS}/102", {"attribute_ids": 1}))[0] == 400


async def test_delete_trashes_and_restore_brings_back(client: Client) -> None:
    before = await client.get(f"{DESTINATIONS}/101")
    assert await client.ask("DELETE", f"{DESTINATIONS}/101") == (200, {"message": "OK"})
    assert (await client.ask("DELETE", f"{DESTINATIONS}/101"))[0] == 404
    assert 101 in ids((await client.get(TRASH))["trashed_segments_export_destinations"])
    assert 101 not in ids((await client.get(DESTINATIONS))["segment_export_destinations"])
    status, body = await client.ask("PATCH", f"{TRASH}/101")
    row = body["segment_export_destination"]
    assert (status, row.keys(), row["deleted"]) == (200, TRASHED, 0)
    assert await client.get(f"{DESTINATIONS}/101") == before
    status, body = await client.ask("PATCH", f"{TRASH}/101")
    assert (status, list(body)) == (404, ["message"])


@pytest.mark.parametrize("status", [409, 400, 200])
async def test_a_destination_in_use_is_not_deleted_unless_the_switch_says_so(client: Client, status: int) -> None:
    client.meiro.set_switches(used_destination_status=status)
    assert (await client.ask("DELETE", f"{DESTINATIONS}/105"))[0] == status
    assert (await client.ask("GET", f"{DESTINATIONS}/105"))[0] == (404 if status == 200 else 200)


async def test_a_destination_is_free_when_its_exports_are_final(client: Client) -> None:
    client.meiro.clock.advance(60)
    assert (await client.ask("DELETE", f"{DESTINATIONS}/105"))[0] == 200


async def test_trash_is_searched_by_name_and_echoes_the_text(client: Client) -> None:
    body = await client.get(TRASH)
    assert body.keys() == {"trashed_segments_export_destinations", "selection_settings"}
    rows = body["trashed_segments_export_destinations"]
    assert (ids(rows), {row["deleted"] for row in rows}) == ([191, 192], {1})
    assert all(row.keys() == TRASHED for row in rows)
    assert body["selection_settings"] == {"limit": 20, "offset": None, "searched_text": None}
    body = await client.get(TRASH, searched_text="LEAFLET", limit=1, offset=0)
    assert ids(body["trashed_segments_export_destinations"]) == [192]
    assert body["selection_settings"] == {"limit": 1, "offset": 0, "searched_text": "LEAFLET"}
    assert ids((await client.get(TRASH, limit=1, offset=1))["trashed_segments_export_destinations"]) == [192]


async def test_trash_may_show_empty_settings_as_in_the_samples(client: Client) -> None:
    client.meiro.set_switches(trash_settings="empty")
    assert (await client.get(TRASH))["trashed_segments_export_destinations"][0]["settings"] == {}
    assert (await client.ask("PATCH", f"{TRASH}/191"))[1]["segment_export_destination"]["settings"] == {}
    kept = (await client.get(f"{DESTINATIONS}/191"))["segment_export_destination"]["settings"]
    assert kept == {"mandatory_attributes_operator": "and"}


async def test_the_word_trash_is_no_destination_id(client: Client) -> None:
    assert (await client.ask("PATCH", TRASH, {}))[0] == 405
    assert (await client.ask("GET", f"{TRASH}/191"))[0] == 405


async def test_last_running_export_is_the_newest_that_waits_or_runs(client: Client) -> None:
    export = (await client.get(f"{DESTINATIONS}/105/last_running_export"))["segment_export"]
    assert (export.keys(), export["id"], export["status"], export["stats"]) == (EXPORT, 1006, "waiting", None)
    client.meiro.clock.advance(60)
    assert (await client.ask("GET", f"{DESTINATIONS}/105/last_running_export"))[0] == 404


@pytest.mark.parametrize(
    ("switch", "status", "body"),
    [
        ("404", 404, {"message": "No export is running"}),
        ("null", 200, None),
        ("null_field", 200, {"segment_export": None}),
    ],
)
async def test_an_idle_destination_answers_as_the_switch_says(
    client: Client, switch: str, status: int, body: object
) -> None:
    client.meiro.set_switches(idle_last_running_export=switch)
    assert await client.ask("GET", f"{DESTINATIONS}/106/last_running_export") == (status, body)


# Segments.


async def test_segments_show_ones_own_unless_the_flags_say_more(client: Client) -> None:
    assert ids((await client.get("segments"))["segments"]) == [300, 301]
    body = await client.get("segments", show_my=1, show_shared_with_me=1, show_foreign=1)
    assert (ids(body["segments"]), body["selection_settings"]) == ([300, 301, 302, 303], NO_LIMITS)
    assert ids((await client.get("segments", show_foreign=1))["segments"]) == [302]
    assert ids((await client.get("segments", name_filter="LAPSED"))["segments"]) == [301]


async def test_a_segment_carries_the_parameters_of_its_destinations(client: Client) -> None:
    segment = (await client.get("segments/300"))["segment"]
    assert segment["settings"].keys() == {"conditions_operation", "destination_parameters"}
    assert (segment["segment_type"], segment["deleted"], segment["last_export"]) == (
        "custom",
        0,
        "2026-01-01 00:00:00",
    )
    assert await client.ask("GET", "segments/999999") == (404, {"message": "Segment doesn't exist"})


# Exports.


async def test_exports_of_a_segment_are_in_every_status_and_one_nobody_knows(client: Client) -> None:
    rows = (await client.get("segments/300/exports"))["segment_exports"]
    assert {row["id"]: row["status"] for row in rows} == {
        1001: "finished",
        1002: "error",
        1003: "canceled",
        1004: "archiving",
        1005: "running",
        1006: "waiting",
        1007: "finished",
    }
    assert all(row.keys() == EXPORT and row["segment_id"] == 300 for row in rows)
    assert rows[4]["file_download_token"]  # set while it still runs, as in the sample
    operation = rows[0]["settings"]["conditions_operation"]
    assert (operation["operation"], operation["operands"][0]["negation"]) == ("and", False)
    assert (await client.get("segments/301/exports"))["segment_exports"] == []


async def test_run_export_answers_201_and_a_new_export_without_a_token(client: Client) -> None:
    export = await client.run(name="example tag")
    assert export.keys() == EXPORT
    assert export["stats"].keys() == {"statuses_history"}
    known = {name: export[name] for name in ("id", "segment_id", "segment_export_destination_id", "name", "status")}
    assert known == {
        "id": 3001,
        "segment_id": 301,
        "segment_export_destination_id": 101,
        "name": "example tag",
        "status": "waiting",
    }
    assert (export["file_download_token"], export["created"]) == (None, "2026-01-01 00:00:00")
    kept = (await client.get("segments/301/exports/3001"))["segment_export"]
    assert kept == export | {"file_download_token": kept["file_download_token"]}
    assert kept["file_download_token"]
    assert (await client.run())["id"] == 3002  # every POST is a new export


async def test_an_export_waits_runs_and_finishes_by_the_clock(client: Client) -> None:
    path = f"segments/301/exports/{(await client.run())['id']}"
    statuses = []
    for advance_s in (0, 4.9, 0.1, 19.9, 0.1, 3600):
        client.meiro.clock.advance(advance_s)
        statuses.append((await client.get(path))["segment_export"]["status"])
    assert statuses == ["waiting", "waiting", "running", "running", "finished", "finished"]


async def test_an_export_may_run_at_once_and_may_end_in_error(client: Client) -> None:
    client.meiro.set_switches(first_status="running", exports_end_in="error")
    export = await client.run()
    assert export["status"] == "running"
    client.meiro.set_switches(exports_end_in="finished")
    client.meiro.clock.advance(20)
    path = f"segments/301/exports/{export['id']}"
    assert (await client.get(path))["segment_export"]["status"] == "error"
    levels = [row["level"] for row in (await client.get(f"{path}/logs"))["segment_export_logs"]]
    assert levels[-1] == "error"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("segments/999999/exports", {"segment_export_destination_id": 101}, 404),
        ("segments/x/exports", {"segment_export_destination_id": 101}, 404),
        ("segments/301/exports", {"segment_export_destination_id": 999999}, 400),
        ("segments/301/exports", {"segment_export_destination_id": 191}, 400),
        ("segments/301/exports", {"segment_export_destination_id": "101"}, 400),
        ("segments/301/exports", {"segment_export_destination_id": True}, 400),
        ("segments/301/exports", {"segment_export_destination_id": 101, "name": None}, 400),
        ("segments/301/exports", {"segment_export_destination_id": 101, "destination": 101}, 400),
        ("segments/301/exports", {"name": "no destination"}, 400),
        ("segments/301/exports", [], 400),
        ("segments/301/exports", {"segment_export_destination_id": 104}, 400),
    ],
)
async def test_an_export_that_cannot_be_is_refused(client: Client, path: str, body: object, status: int) -> None:
    answer = await client.ask("POST", path, body)
    assert (answer[0], list(answer[1])) == (status, ["message"])
    assert (await client.get("segments/301/exports"))["segment_exports"] == []


async def test_a_disabled_destination_may_be_a_409(client: Client) -> None:
    client.meiro.set_switches(disabled_destination_status=409)
    assert (await client.ask("POST", "segments/301/exports", {"segment_export_destination_id": 104}))[0] == 409


@pytest.mark.parametrize("export_id", [1005, 1006])
async def test_cancel_keeps_the_record_and_says_canceled(client: Client, export_id: int) -> None:
    path = f"segments/300/exports/{export_id}"
    status, body = await client.ask("DELETE", path)
    assert (status, body["segment_export"].keys(), body["segment_export"]["status"]) == (200, CANCELED, "canceled")
    client.meiro.clock.advance(3600)
    assert (await client.get(path))["segment_export"]["status"] == "canceled"


@pytest.mark.parametrize("export_id", [1001, 1002, 1003, 1004])
async def test_cancel_of_a_final_export_is_what_the_switch_says(client: Client, export_id: int) -> None:
    path = f"segments/300/exports/{export_id}"
    before = await client.get(path)
    status, body = await client.ask("DELETE", path)
    assert (status, list(body)) == (409, ["message"])
    client.meiro.set_switches(cancel_final_status=200)
    assert (await client.ask("DELETE", path))[0] == 200
    assert await client.get(path) == before


async def test_an_export_of_another_segment_or_none_is_404(client: Client) -> None:
    for path in ("segments/301/exports/1001", "segments/300/exports/999999", "segments/300/exports/x"):
        for tail in ("", "/history", "/history/100101", "/logs", "/download"):
            assert await client.ask("GET", path + tail) == (404, {"message": "Segment export doesn't exist"})
        assert (await client.ask("DELETE", path))[0] == 404


async def test_statuses_history_lists_finished_too_early_and_canceled_never(client: Client) -> None:
    async def statuses(export_id: int) -> dict[str, str]:
        export = (await client.get(f"segments/300/exports/{export_id}"))["segment_export"]
        history: dict[str, str] = export["stats"]["statuses_history"]
        return history

    assert (await statuses(1001)) == {
        "waiting": "2025-10-03 00:00:00",
        "running": "2025-10-03 00:00:05",
        "finished": "2025-10-03 00:00:25",
    }
    assert list(await statuses(1005)) == ["waiting", "running", "finished"]
    assert list(await statuses(1003)) == ["waiting", "running", "finished"]
    client.meiro.set_switches(statuses_history="truthful")
    assert list(await statuses(1005)) == ["waiting", "running"]
    assert (await statuses(1003)) == {
        "waiting": "2025-10-23 00:00:00",
        "running": "2025-10-23 00:00:05",
        "canceled": "2025-10-23 00:00:08",
    }


# History, logs, download.


async def test_history_starts_with_the_present_whose_id_is_null(client: Client) -> None:
    body = await client.get("segments/300/exports/1001/history")
    assert (body.keys(), body["selection_settings"]) == ({"history_list", "selection_settings"}, NO_LIMITS)
    rows = body["history_list"]
    assert ids(rows) == [None, "100101", "100102", "100103"]
    statuses = [row["segment_export"]["status"] for row in rows]
    assert statuses == ["finished", "waiting", "running", "finished"]
    assert all(row.keys() == {"id", "segment_export"} for row in rows)
    assert all(row["segment_export"].keys() == CANCELED for row in rows)
    assert (rows[1]["segment_export"]["settings"], rows[1]["segment_export"]["stats"]) == ({}, None)
    newest = await client.get("segments/300/exports/1001/history", order_by="id", order_dir="DESC", limit=1)
    assert ids(newest["history_list"]) == ["100103"]


async def test_a_history_item_says_what_changed(client: Client) -> None:
    item = (await client.get("segments/300/exports/1001/history/100102"))["history"]
    assert item.keys() == {"id", "segment_export", "diff"}
    assert (item["id"], item["diff"]) == ("100102", {"status": {"from": "waiting", "to": "running"}})
    assert (item["segment_export"].keys(), item["segment_export"]["status"]) == (CANCELED, "running")
    assert (await client.get("segments/300/exports/1001/history/100101"))["history"]["diff"] == {}
    for history_id in ("null", "None", "100104", "x"):
        assert (await client.ask("GET", f"segments/300/exports/1001/history/{history_id}"))[0] == 404


async def test_older_history_items_may_lack_their_id_as_in_the_sample(client: Client) -> None:
    client.meiro.set_switches(history_ids="absent")
    rows = (await client.get("segments/300/exports/1001/history"))["history_list"]
    assert [list(row) for row in rows] == [["id", "segment_export"]] + [["segment_export"]] * 3


async def test_logs_tell_why_an_export_failed(client: Client) -> None:
    body = await client.get("segments/300/exports/1002/logs")
    assert (body.keys(), body["selection_settings"]) == ({"segment_export_logs", "selection_settings"}, NO_LIMITS)
    rows = body["segment_export_logs"]
    assert [row["level"] for row in rows] == ["info", "info", "debug", "warning", "error"]
    assert rows[-1] == {
        "id": 100205,
        "segment_export_id": 1002,
        "level": "error",
        "text": "Connection to sftp.shop.example was refused",
        "created": "2025-10-13 00:00:25",
    }
    odd = (await client.get("segments/300/exports/1004/logs", order_by="id", order_dir="DESC"))["segment_export_logs"]
    assert odd[0]["level"] == "notice"


async def test_a_finished_export_downloads_as_csv_of_invented_members(client: Client) -> None:
    status, body, headers = await client.file("segments/300/exports/1001/download")
    assert (status, headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert headers["Content-Disposition"] == 'attachment; filename="export-1001.csv"'
    assert headers["Content-Length"] == str(len(body))
    lines = body.decode().splitlines()
    assert (lines[0], len(lines)) == ("email,first_name", 26)
    assert lines[1] == "member-000000001@shop.example,first_name-000000001"
    assert all(re.fullmatch(r"member-\d{9}@shop\.example,first_name-\d{9}", line) for line in lines[1:])


@pytest.mark.parametrize("export_id", [1002, 1003, 1005, 1006, 1007])
async def test_what_has_no_file_or_none_yet_is_409_or_404(client: Client, export_id: int) -> None:
    path = f"segments/300/exports/{export_id}/download"
    status, body = await client.ask("GET", path)
    assert (status, list(body)) == (409, ["message"])
    client.meiro.set_switches(no_file_status=404)
    assert (await client.ask("GET", path))[0] == 404


@pytest.mark.parametrize(
    ("switches", "present", "absent"),
    [
        ({"download_content_type": "absent"}, {}, "Content-Type"),
        ({"download_content_type": "text/csv"}, {"Content-Type": "text/csv"}, ""),
        ({"download_filename": "absent"}, {}, "Content-Disposition"),
        (
            {"download_filename": "encoded"},
            {"Content-Disposition": "attachment; filename*=UTF-8''m%C3%A9dia-export-1001.csv"},
            "",
        ),
        ({"download_framing": "chunked"}, {"Transfer-Encoding": "chunked"}, "Content-Length"),
    ],
)
async def test_the_headers_of_a_download_are_switchable(
    client: Client, switches: dict[str, str], present: dict[str, str], absent: str
) -> None:
    _, whole, _ = await client.file("segments/300/exports/1001/download")
    client.meiro.set_switches(**switches)
    status, body, headers = await client.file("segments/300/exports/1001/download")
    assert (status, body) == (200, whole)
    assert present == {name: headers.get(name) for name in present}
    assert absent not in headers


async def test_a_download_may_be_large(client: Client) -> None:
    client.meiro.set_switches(download_rows=100_000)
    _, body, headers = await client.file("segments/300/exports/1001/download")
    assert len(body) == int(headers["Content-Length"]) == 17 + 100_000 * 51
    assert body.endswith(b"\nmember-000100000@shop.example,first_name-000100000\n")


async def test_range_is_honoured_only_if_switched_on(client: Client) -> None:
    path = "segments/300/exports/1001/download"
    _, whole, _ = await client.file(path, Range="bytes=100-")
    assert len(whole) == 17 + 25 * 51
    client.meiro.set_switches(download_ranges=True)
    for first in (0, 1, 16, 17, 18, 67, 68, 100, len(whole) - 1):
        status, body, headers = await client.file(path, Range=f"bytes={first}-")
        assert (status, body) == (206, whole[first:])
        assert headers["Content-Range"] == f"bytes {first}-{len(whole) - 1}/{len(whole)}"
    assert (await client.file(path, Range=f"bytes={len(whole)}-"))[0] == 416


# What the documentation leaves open for every answer.


async def test_a_missing_thing_may_be_200_null(client: Client) -> None:
    client.meiro.set_switches(null_body_for_missing=True)
    for path in (
        f"{DESTINATIONS}/999999",
        f"{DESTINATIONS}/191",
        "segments/999999",
        "segments/999999/exports",
        "segments/300/exports/999999",
        "segments/300/exports/1001/history/7",
    ):
        assert await client.ask("GET", path) == (200, None)
    assert (await client.ask("DELETE", f"{DESTINATIONS}/999999"))[0] == 404


@pytest.mark.parametrize(
    ("form", "text"),
    [("space", "2025-10-03 00:00:00"), ("zulu", "2025-10-03T00:00:00Z"), ("micros", "2025-10-03T00:00:00.000000")],
)
async def test_dates_come_in_three_forms(client: Client, form: str, text: str) -> None:
    client.meiro.set_switches(dates=form)
    export = (await client.get("segments/300/exports/1001"))["segment_export"]
    assert (export["created"], export["stats"]["statuses_history"]["waiting"]) == (text, text)


@pytest.mark.parametrize(("zone_h", "text"), [(-12, "2025-10-02 12:00:00"), (14, "2025-10-03 14:00:00")])
async def test_times_may_be_in_another_zone(client: Client, zone_h: int, text: str) -> None:
    client.meiro.set_switches(zone_h=zone_h)
    export = (await client.get("segments/300/exports/1001"))["segment_export"]
    assert (export["created"], export["stats"]["statuses_history"]["waiting"]) == (text, text)


async def test_ids_may_be_strings_outside_of_settings(client: Client) -> None:
    client.meiro.set_switches(ids="string")
    export = (await client.get("segments/300/exports/1001", load_full_structure=1))["segment_export"]
    assert (export["id"], export["user_id"], export["segment_id"]) == ("1001", "7", "300")
    assert export["segment_export_destination"]["id"] == "101"
    row = (await client.get(f"{DESTINATIONS}/102"))["segment_export_destination"]
    assert (row["id"], row["mi_workspace_id"], row["disabled"]) == ("102", "300", 0)
    assert (await client.get(f"{DESTINATIONS}/103"))["segment_export_destination"]["mi_workspace_id"] is None
    log = (await client.get("segments/300/exports/1001/logs"))["segment_export_logs"][0]
    assert (log["id"], log["segment_export_id"]) == ("100101", "1001")


async def test_full_structure_adds_objects_and_removes_nothing(client: Client) -> None:
    async def added(path: str, *keys: str | int) -> set[str]:
        plain, full = await client.get(path), await client.get(path, load_full_structure=1)
        for key in keys:
            plain, full = plain[key], full[key]
        assert plain.items() <= full.items()
        return set(full) - set(plain)

    embedded = {"user", "segment", "segment_export_destination"}
    assert await added(f"{DESTINATIONS}/101", "segment_export_destination") == {"user"}
    assert await added(DESTINATIONS, "segment_export_destinations", 0) == {"user"}
    assert await added("segments/300/exports/1001", "segment_export") == embedded
    assert await added("segments/300/exports", "segment_exports", 0) == embedded
    assert await added("segments/300/exports/1001/history", "history_list", 0, "segment_export") == embedded
    assert await added("segments/300/exports/1001/logs", "segment_export_logs", 0) == {"segment_export"}
    assert await added(f"{DESTINATIONS}/105/last_running_export", "segment_export") == embedded


async def test_reset_brings_the_seed_back(client: Client) -> None:
    before = await client.get(DESTINATIONS)
    token = (await log_in(client))[1]["token"]
    await client.ask("PATCH", f"{DESTINATIONS}/102", {"settings": "{}", "name": "Renamed"})
    await client.ask("DELETE", f"{DESTINATIONS}/101")
    await client.run(destination_id=102)
    client.meiro.reset()
    assert await client.get(DESTINATIONS) == before
    assert (await client.run())["id"] == 3001
    assert (await client.ask("GET", DESTINATIONS, token=token))[0] == 401


async def test_the_connection_settings_reach_it_with_every_right(client: Client) -> None:
    settings = client.meiro.connection_settings(client.base_url)
    assert settings == {"base_url": f"{client.base_url}/api/", "token": "sandbox-token"}
    headers = {"X-Access-Token": settings["token"]}
    async with client.session.get(settings["base_url"] + DESTINATIONS, headers=headers) as answer:
        assert answer.status == 200


async def test_the_suite_speaks_of_what_is_there(client: Client) -> None:
    suite = client.meiro.suite
    words = {
        "SUCCEEDED": "finished",
        "FAILED": "error",
        "CANCELLED": "canceled",
        "RUNNING": "running",
        "PENDING": "waiting",
        "UNRECOGNIZED": "archiving",
    }
    for state, job in suite["jobs"].items():
        segment_id, export_id = job.split("~")
        export = (await client.get(f"segments/{segment_id}/exports/{export_id}"))["segment_export"]
        assert export["status"] == words[state]
    live = (await client.get(DESTINATIONS))["segment_export_destinations"]
    assert len(live) == suite["destination_count"]
    trashed = (await client.get(TRASH))["trashed_segments_export_destinations"]
    assert (len(trashed), str(trashed[0]["id"])) == (
        suite["deleted_destination_count"],
        suite["deleted_destination_id"],
    )
    assert (await client.ask("DELETE", f"{DESTINATIONS}/{suite['used_destination_id']}"))[0] == 409
    running = (await client.get(f"{DESTINATIONS}/{suite['used_destination_id']}/last_running_export"))["segment_export"]
    assert f"{running['segment_id']}~{running['id']}" == suite["used_job_id"]
    assert (await client.run(int(suite["audience_id"]), int(suite["destination_id"])))["status"] == "waiting"
    disabled = int(suite["disabled_destination_id"])
    assert (await client.ask("POST", "segments/301/exports", {"segment_export_destination_id": disabled}))[0] == 400
    many = (await client.get("segments/302/exports", limit=100))["segment_exports"]
    assert len(many) == suite["many_export_job_count"] >= 25
    assert json.loads(json.dumps(suite)) == suite


async def test_everything_in_the_seed_is_obviously_invented(client: Client) -> None:
    body = await client.get("segments/300/exports", limit=100, load_full_structure=1)
    text = json.dumps([body, await client.get(DESTINATIONS), await client.get(TRASH)])
    names = [row["name"] for row in body["segment_exports"] if row["name"]]
    assert all(name.startswith("Example ") for name in names)
    assert {host for host in re.findall(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}", text) if "." in host} <= {
        "shop.example",
        "sftp.shop.example",
        "destination.png",
    }
