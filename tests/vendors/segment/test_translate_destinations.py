"""Destinations, subscriptions, settings and metrics: the documented samples, odd answers, and rules for all inputs."""

import json
from typing import Any

import msgspec
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import Fault, InvalidRequest
from adapters.extras import keep
from adapters.secrets import MASK
from adapters.segment import translate, wire
from adapters.wellknown import plain, struct
from audiencegateway.v1.destinations_pb2 import (
    Destination,
    QueryDeliveryMetricsRequest,
    QueryDeliveryMetricsResponse,
    Subscription,
)
from tests.vendors.segment.samples import DESTINATION, METADATA, METRICS, SUBSCRIPTION

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)  # no negative zero
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
SETTINGS = st.dictionaries(st.text(max_size=8), JSON, max_size=4)
SECRETS = st.text(st.characters(exclude_characters="•", exclude_categories=["Cs"]), min_size=1, max_size=20)


def destination(*, full: bool = False, **changes: Any) -> Destination:
    raw = {**DESTINATION, **changes}
    source = msgspec.convert(raw, wire.Destination)
    if full:
        keep(source, raw)
    return translate.destination("cdp", source)


def subscription(**changes: Any) -> Subscription:
    raw = {**SUBSCRIPTION, **changes}
    return translate.subscription("cdp", "dest", msgspec.convert(raw, wire.Subscription))


def settings_patch(present: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return what is sent when a caller, who read the *present* settings, changes some of what was shown."""
    source = msgspec.convert({**DESTINATION, "settings": present}, wire.Destination)
    shown = translate.destination("cdp", source)
    merged = Destination()
    merged.CopyFrom(shown)
    kept = {key: value for key, value in plain(shown.segment.settings).items() if key not in changes}
    given = {key: value for key, value in changes.items() if value is not None}
    merged.segment.settings.CopyFrom(struct(kept | given))
    body = translate.destination_patch(merged, shown, source, ["segment.settings"])
    assert body.keys() == {"settings"}
    settings: dict[str, Any] = body["settings"]
    return settings


def test_the_sample_destination_is_whole_and_its_secret_is_not_shown() -> None:
    assert MessageToDict(destination(), preserving_proto_field_name=True) == {
        "name": "connections/cdp/destinations/fP7qoQw2HTWt9WdMr718gn",
        "display_name": "my destination v1",
        "state": "ACTIVE",
        "segment": {
            "source_id": "rh5BDZp6QDHvXFCkibm1pR",
            "metadata_id": "54521fd525e721e32a72ee91",
            "settings": {
                "apiKey": "********",
                "retarget": True,
                "eventUploadThreshold": 30.0,
                "mapQueryParams": {},
                "versionName": "",
            },
        },
    }


def test_the_full_view_has_the_catalog_entry() -> None:
    extras = MessageToDict(destination(full=True, labels=["x"]).vendor_extras)
    assert extras == {"labels": ["x"], "metadata": json.loads(json.dumps(METADATA))}


def test_a_destination_that_is_not_enabled_is_suspended() -> None:
    message = destination(enabled=False, name=None)
    assert (message.disabled, message.state, message.display_name) == (True, Destination.SUSPENDED, "")


@pytest.mark.parametrize("missing", ["id", "enabled", "sourceId", "metadata"])
def test_what_the_models_require_is_required(missing: str) -> None:
    raw = {key: value for key, value in DESTINATION.items() if key != missing}
    with pytest.raises(msgspec.ValidationError, match=missing):
        msgspec.convert(raw, wire.Destination)


def test_the_sample_subscription_is_whole_and_its_secret_is_not_shown() -> None:
    assert MessageToDict(subscription(), preserving_proto_field_name=True) == {
        "name": "connections/cdp/destinations/dest/subscriptions/kyMKN6LUgMvF8dwRMEz3cX",
        "display_name": "Example Subscription",
        "disabled": True,
        "segment": {
            "action_id": "jiMz7MfHNeHmUckzRnUGkU",
            "action_slug": "track",
            "trigger": 'type = "track"',
            "settings": {"event": {"@path": "$.event"}, "signingKey": "********"},
            "model_id": "aow61ZsjXFRsUqB5wWmZES",
            "schedule": {"strategy": "PERIODIC", "config": {"interval": "15m"}},
        },
    }


def test_a_subscription_without_a_model_has_no_schedule() -> None:
    message = subscription(modelId=None, reverseETLSchedule=None)
    assert not message.segment.model_id
    assert not message.segment.HasField("schedule")
    manual = subscription(reverseETLSchedule={"strategy": "MANUAL", "config": None})
    assert not manual.segment.schedule.HasField("config")


# Settings.


@pytest.mark.parametrize("text", ["••••••••••dada", "••••••••••", "•1", "•••\n\n", "••••🙂🙂🙂🙂"])
def test_what_segment_masks_is_not_shown_wherever_it_stands(text: str) -> None:
    shown = destination(settings={"x": text, "list": ["a", {"deep": text}]}).segment.settings
    assert plain(shown) == {"x": MASK, "list": ["a", {"deep": MASK}]}


@pytest.mark.parametrize("text", ["", "• item one", "•• with more behind", "plain", "a•"])
def test_what_only_holds_a_bullet_is_shown(text: str) -> None:
    assert plain(destination(settings={"x": text}).segment.settings) == {"x": text}


def test_what_has_the_name_of_a_secret_is_not_shown_either() -> None:
    shown = destination(settings={"authToken": "in clear", "variables": [{"name": "password", "value": "x"}]})
    assert "in clear" not in str(shown)
    assert plain(shown.segment.settings)["variables"] == [{"name": "password", "value": MASK}]


@given(SETTINGS, SETTINGS)
def test_exactly_what_differs_is_sent(present: dict[str, Any], changes: dict[str, Any]) -> None:
    shown = plain(destination(settings=present).segment.settings)
    try:
        sent = settings_patch(present, changes)
    except InvalidRequest:
        return  # A mask, of which the tests below are.
    differing = {key for key in changes if struct({"": changes[key]}) != struct({"": shown.get(key)})}
    # Of what is null already, nothing could be said but null.
    gone = {key for key in changes.keys() & shown.keys() if changes[key] is None}
    assert sent.keys() == gone | {key for key in differing if changes[key] is not None}
    for key, value in sent.items():
        assert struct({"": value}) == struct({"": changes[key]})


@given(SECRETS, st.integers(0, 4), JSON)
def test_a_masked_value_is_never_written_back(secret: str, shown_chars: int, other: Any) -> None:
    masked = "•" * 10 + secret[len(secret) - min(shown_chars, len(secret)) :]
    present = {"apiKey": masked, "deep": {"secret2": masked, "note": "x"}, "other": "before"}
    sent = settings_patch(present, {"other": other})
    assert "•••" not in json.dumps(sent, ensure_ascii=False)
    assert sent.keys() <= {"other"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"apiKey": "••••••••••dada"}, '["apiKey"]'),
        ({"deep": {"x": MASK, "note": "new"}}, '["deep"]'),
        ({"list": ["new", MASK]}, '["list"]'),
        ({"fresh": MASK}, '["fresh"]'),
        ({"fresh": {"inside": MASK}}, '["fresh"].inside'),
    ],
    ids=str,
)
def test_a_mask_that_could_only_be_written_is_refused_with_its_place(changes: dict[str, Any], field: str) -> None:
    present = {"apiKey": "••••dada", "deep": {"x": "••••dada", "note": "old"}, "list": ["old", "••••dada"]}
    with pytest.raises(InvalidRequest) as refused:
        settings_patch(present, changes)
    assert refused.value.violations[0].field == f"destination.segment.settings{field}"


def test_a_secret_in_clear_deep_inside_what_differs_is_written_as_it_is() -> None:
    present = {"auth": {"password": "in clear", "user": "old"}}
    assert settings_patch(present, {"auth": {"password": MASK, "user": "new"}}) == {
        "auth": {"password": "in clear", "user": "new"}
    }


def test_whole_numbers_are_written_as_whole_numbers_and_true_is_none_of_them() -> None:
    sent = settings_patch({"threshold": 1, "flag": True}, {"threshold": True, "flag": 1.0})
    assert json.dumps(sent, sort_keys=True) == '{"flag": 1, "threshold": true}'


@pytest.mark.parametrize(
    ("asked", "before", "after", "is_applied"),
    [
        ("new", "old", "new", True),
        ("new", "old", "old", False),
        # Something else than before was not dropped.
        ("EU ", "us", "eu", True),
        ("new", None, None, False),
        (None, "old", None, True),
        (None, "old", "the default", True),
        (None, "old", "old", False),
        # A secret is told by its end, as far as that is shown.
        ("fake-new-dada", "••••••dada", "••••••dada", True),
        ("fake-new-1234", "••••••dada", "••••••dada", False),
        ("abc", "••••••", "••••••", True),
        ("fake-new-1234", "••••••dada", "••••••1234", True),
        # Segment adds keys of its own.
        ({"a": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"a": 0, "b": 2}, {"a": 0, "b": 2}, False),
        ({"a": 1}, "x", "x", False),
        ([1, "x"], [1, "••••"], [1, "••••"], True),
        ([1], [1, 2], [1, 2], False),
        (30, 30.0, 30.0, True),
    ],
)
def test_what_was_dropped_is_told_from_what_was_applied(asked: Any, before: Any, after: Any, is_applied: bool) -> None:
    there = {"other": 1} | ({} if before is None else {"key": before})
    now = {"other": 2} | ({} if after is None else {"key": after})
    assert translate.unapplied({"key": asked}, there, now) == ([] if is_applied else ['segment.settings["key"]'])


def test_dropped_settings_are_named_in_order_whatever_their_names() -> None:
    asked = {"z": 1, 'a"b': 2, "é.x": 3}
    assert translate.unapplied(asked, {}, {}) == [
        'segment.settings["a\\"b"]',
        'segment.settings["z"]',
        'segment.settings["\\u00e9.x"]',
    ]


# What is written of new ones.


def test_a_new_destination_needs_its_source_and_what_it_is() -> None:
    for config in ({}, {"sourceId": "s"}, {"metadataId": "m"}):
        with pytest.raises(InvalidRequest) as refused:
            translate.new_destination(ParseDict({"segment": config}, Destination()))
        assert refused.value.violations[0].field == "destination.segment"


def test_a_planned_destination_has_no_name_and_no_secret() -> None:
    config = {"sourceId": "s", "metadataId": "m", "settings": {"apiToken": "in clear", "x": 1}}
    wanted = ParseDict({"displayName": "New", "disabled": True, "etag": "x", "segment": config}, Destination())
    body, planned = translate.new_destination(wanted)
    assert body["settings"] == {"apiToken": "in clear", "x": 1}
    assert MessageToDict(planned) == {
        "displayName": "New",
        "disabled": True,
        "state": "SUSPENDED",
        "segment": {"sourceId": "s", "metadataId": "m", "settings": {"apiToken": MASK, "x": 1.0}},
    }


@pytest.mark.parametrize("value", [MASK, "••••••••••dada"])
def test_a_new_destination_or_subscription_has_nothing_that_a_mask_could_keep(value: str) -> None:
    config = {"sourceId": "s", "metadataId": "m", "settings": {"key": value}}
    with pytest.raises(InvalidRequest):
        translate.new_destination(ParseDict({"segment": config}, Destination()))
    config = {"actionId": "a", "trigger": "t", "settings": {"key": value}}
    with pytest.raises(InvalidRequest):
        translate.new_subscription(ParseDict({"segment": config}, Subscription()))


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"trigger": "t"}, "subscription.segment"),
        ({"actionId": "a"}, "subscription.segment"),
        ({"actionId": "a", "trigger": "t", "schedule": {"strategy": "MANUAL"}}, "subscription.segment.schedule"),
    ],
)
def test_a_new_subscription_that_segment_could_not_take_is_refused(config: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        translate.new_subscription(ParseDict({"segment": config}, Subscription()))
    assert refused.value.violations[0].field == field


@pytest.mark.parametrize(
    ("path", "clear"),
    [("segment.model_id", "model_id"), ("segment.schedule.strategy", "schedule")],
)
def test_a_model_and_a_schedule_can_not_be_taken_away(path: str, clear: str) -> None:
    source = msgspec.convert(SUBSCRIPTION, wire.Subscription)
    shown, merged = subscription(), subscription()
    merged.segment.ClearField(clear)  # type: ignore[arg-type]  # one of its fields
    with pytest.raises(InvalidRequest) as refused:
        translate.subscription_patch(merged, shown, source, [path])
    assert refused.value.violations[0].field == f"subscription.segment.{clear}"


def test_a_schedule_is_written_whole_and_keeps_what_is_hidden_in_it() -> None:
    schedule = {"strategy": "DBT_CLOUD", "config": {"accountId": 1, "apiToken": "in clear"}}
    source = msgspec.convert({**SUBSCRIPTION, "reverseETLSchedule": schedule}, wire.Subscription)
    shown, merged = (translate.subscription("cdp", "dest", source) for _ in range(2))
    merged.segment.schedule.config["accountId"] = 2
    assert plain(shown.segment.schedule.config)["apiToken"] == MASK
    assert translate.subscription_patch(merged, shown, source, ["segment.schedule.config"]) == {
        "reverseETLSchedule": {"strategy": "DBT_CLOUD", "config": {"accountId": 2, "apiToken": "in clear"}}
    }


# Metrics.

NOW_S = 1_767_225_600.0  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("granularity", "shown", "start"),
    [
        ("GRANULARITY_UNSPECIFIED", "MINUTE", "2025-12-31T23:00:00.000Z"),
        ("MINUTE", "MINUTE", "2025-12-31T23:00:00.000Z"),
        # Seven days and fourteen, less a minute.
        ("HOUR", "HOUR", "2025-12-25T00:01:00.000Z"),
        ("DAY", "DAY", "2025-12-18T00:01:00.000Z"),
    ],
)
def test_a_start_is_always_sent_and_within_the_limit(granularity: str, shown: str, start: str) -> None:
    request = ParseDict({"granularity": granularity}, QueryDeliveryMetricsRequest())
    asked = translate.window(request, NOW_S)
    assert translate.metrics_query(request, asked, "src") == [
        ("sourceId", "src"),
        ("startTime", start),
        ("granularity", shown),
    ]
    assert asked.interval.end_time.seconds == NOW_S


def test_an_unset_start_is_counted_from_the_end() -> None:
    request = ParseDict({"interval": {"endTime": "2025-12-31T12:00:00.0019Z"}}, QueryDeliveryMetricsRequest())
    asked = translate.window(request, NOW_S)
    assert MessageToDict(asked) == {
        "granularity": "MINUTE",
        "interval": {"startTime": "2025-12-31T11:00:00.001Z", "endTime": "2025-12-31T12:00:00.001Z"},
    }
    assert ("endTime", "2025-12-31T12:00:00.001Z") in translate.metrics_query(request, asked, "src")


def test_metrics_keep_the_vendors_names_and_numbers() -> None:
    found = translate.metrics(msgspec.convert({"metrics": METRICS}, wire.Summary))
    response = QueryDeliveryMetricsResponse(metrics=found)
    assert MessageToDict(response)["metrics"] == [
        {
            "metric": "successes",
            "total": 9.0,
            "breakdown": {"successes_on_first_attempt": 7.0, "successes_after_retry": 2.0},
        },
        {"metric": "expired"},
        {"metric": "time_to_success", "total": 10.5},
    ]


# Errors.


def test_an_error_is_read_whole() -> None:
    body = {
        "errors": [
            {"type": "input-validation", "message": '"metadataId" is required', "field": "metadataId"},
            {"type": "input-validation", "message": "too long", "field": "settings.api.key", "status": 422},
        ]
    }
    assert translate.fault(json.dumps(body).encode()) == Fault(
        code="input-validation",
        message='"metadataId" is required; too long',
        fields=(("metadataId", '"metadataId" is required'), ("settings.api.key", "too long")),
    )


@pytest.mark.parametrize(
    ("data", "wait_s"),
    [
        ({"remainingPoints": 0, "msBeforeNext": 57647, "consumedPoints": 21}, 57.647),
        ({"msBeforeNext": -5}, 0.0),
        ({"msBeforeNext": "soon"}, None),
        ({}, None),
        ("words", None),
        (None, None),
    ],
)
def test_the_wait_of_a_429_is_read_where_there_is_one(data: Any, wait_s: float | None) -> None:
    body = {"errors": [{"type": "RequestError", "message": "Too many requests", "data": data}]}
    assert translate.fault(json.dumps(body).encode()).retry_after_s == wait_s


@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b'{"errors": {}}', b'{"errors": [1]}', b"\xff", b"[]"])
def test_what_is_no_error_of_segments_says_nothing(body: bytes) -> None:
    assert translate.fault(body) == Fault()


def test_an_empty_list_of_errors_says_nothing() -> None:
    assert translate.fault(b'{"errors": [{}]}') == translate.fault(b'{"errors": []}') == Fault()


@pytest.mark.parametrize(
    ("path", "fields", "ours"),
    [
        ("metadataId", translate.DESTINATION_FIELDS, "destination.segment.metadata_id"),
        ("settings.api.key", translate.DESTINATION_FIELDS, 'destination.segment.settings["api.key"]'),
        ("enabled", translate.DESTINATION_FIELDS, "destination.disabled"),
        ("input.settings.batchSize", translate.SUBSCRIPTION_FIELDS, 'subscription.segment.settings["batchSize"]'),
        (
            "input.reverseETLSchedule.config.interval",
            translate.SUBSCRIPTION_FIELDS,
            "subscription.segment.schedule.config.interval",
        ),
        ("modelId", translate.SUBSCRIPTION_FIELDS, "subscription.segment.model_id"),
        ("subscriptionId", translate.SYNC_FIELDS, "export_job.segment.subscription"),
        ("startTime", translate.METRICS_FIELDS, "interval.start_time"),
        ("pagination.count", translate.DESTINATION_FIELDS, None),
        ("", translate.DESTINATION_FIELDS, None),
    ],
)
def test_a_field_of_the_request_is_named_as_ours(path: str, fields: dict[str, str], ours: str | None) -> None:
    found = translate.violations(Fault(fields=((path, "is wrong"),)), fields)
    assert [tuple(violation) for violation in found] == ([(ours, "is wrong", "REJECTED_BY_VENDOR")] if ours else [])
