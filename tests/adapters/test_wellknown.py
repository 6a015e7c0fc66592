"""JSON, times and failures as protobuf's well-known types, and JSON back."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct, Value
from google.rpc.code_pb2 import UNKNOWN
from google.rpc.error_details_pb2 import ErrorInfo
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import InvalidRequest
from adapters.secrets import redact
from adapters.wellknown import failure, instant, plain, show, struct, timestamp, value

NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4))
def test_an_object_goes_round(json: dict[str, Any]) -> None:
    assert plain(struct(json)) == json
    expected = Struct()
    expected.update(json)
    assert struct(json) == expected


KEYS = st.text(max_size=8) | st.sampled_from(["name", "password", "apiKey", "value", "values", "token"])
SECRETIVE = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8) | st.just("token"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
)


@given(st.dictionaries(KEYS, SECRETIVE, max_size=5))
def test_what_is_shown_in_place_is_what_redacting_leaves(json: dict[str, Any]) -> None:
    message = Value()
    show(message.struct_value, json)
    assert message.struct_value == struct(redact(json))
    assert message.HasField("struct_value")


@given(JSON)
def test_a_value_is_what_it_is_inside_an_object(json: Any) -> None:
    assert struct({"x": json}).fields["x"] == value(json)


@pytest.mark.parametrize(
    ("number", "shown"),
    [(1.0, "1"), (-0.0, "0"), (2.0**53, "9007199254740992"), (0.5, "0.5"), (1e300, "1e+300"), (2.0**60, str(2.0**60))],
)
def test_whole_numbers_come_back_whole_where_a_double_can_tell(number: float, shown: str) -> None:
    assert repr(plain(struct({"x": number}))["x"]) == shown


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_can_not_write_is_refused(number: float) -> None:
    with pytest.raises(InvalidRequest):
        plain(struct({"x": [number]}))


def test_a_value_that_was_never_set_is_null() -> None:
    message = Struct()
    message.fields["x"].SetInParent()
    assert plain(message) == {"x": None}


@pytest.mark.parametrize(
    ("epoch_ms", "expected"),
    [
        (1538615973895, datetime(2018, 10, 4, 1, 19, 33, 895000, tzinfo=UTC)),
        (1538615973895.0, datetime(2018, 10, 4, 1, 19, 33, 895000, tzinfo=UTC)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_from_milliseconds(epoch_ms: float, expected: datetime) -> None:
    found = instant(epoch_ms)
    assert found is not None
    assert found.ToDatetime(UTC) == expected


@pytest.mark.parametrize("epoch_ms", [None, 10**18, -(10**18), 10**40, 1e300])
def test_what_is_no_time_in_milliseconds_is_none(epoch_ms: float | None) -> None:
    assert instant(epoch_ms) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2017-01-01 15:35:00", datetime(2017, 1, 1, 15, 35, tzinfo=UTC)),
        ("2018-11-07T10:19:48Z", datetime(2018, 11, 7, 10, 19, 48, tzinfo=UTC)),
        ("2023-01-20T10:59:33.378784", datetime(2023, 1, 20, 10, 59, 33, 378784, tzinfo=UTC)),
        ("2023-01-20T10:59:33+02:00", datetime(2023, 1, 20, 8, 59, 33, tzinfo=UTC)),
        ("2023-01-20", datetime(2023, 1, 20, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_in_any_form_and_without_a_zone_is_utc(text: str, expected: datetime) -> None:
    found = timestamp(text)
    assert found is not None
    assert found.ToDatetime(UTC) == expected


@pytest.mark.parametrize("text", [None, "", "soon", "0000-00-00 00:00:00", "9999-12-31T23:59:59-10:00"])
def test_what_is_no_time_is_none(text: str | None) -> None:
    assert timestamp(text) is None


def test_a_failure_carries_its_reason_and_what_is_known() -> None:
    status = failure("the export failed", vendor="acme", vendorMessage="")
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (status.code, status.message) == (UNKNOWN, "the export failed")
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "EXPORT_JOB_FAILED",
        "audiencegateway.internal",
        {"vendor": "acme"},
    )
