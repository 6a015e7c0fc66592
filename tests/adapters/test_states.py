"""States looked up by the vendors' words: in any case, and a word nobody knows is said once and counted."""

import logging
from collections.abc import Iterator

import pytest

from adapters import states
from adapters.states import FINAL, MAX_WORD_CHARS, MAX_WORDS, UNRECOGNIZED, lookup
from audiencegateway.v1.export_jobs_pb2 import ExportJob

TABLE = {"working": ExportJob.RUNNING, "done": ExportJob.SUCCEEDED}


@pytest.fixture(autouse=True)
def nothing_is_known_yet() -> Iterator[None]:
    UNRECOGNIZED.clear()
    yield
    UNRECOGNIZED.clear()


@pytest.mark.parametrize("word", ["working", "WORKING", "Working"])
def test_a_word_is_known_in_any_case(word: str) -> None:
    assert lookup(TABLE, word, "acme") == ExportJob.RUNNING
    assert not UNRECOGNIZED


def test_a_word_nobody_knows_is_logged_once_and_counted_every_time(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = [lookup(TABLE, word, vendor) for vendor in ("acme", "other") for word in ("cooling", "cooling", "")]
    assert set(found) == {ExportJob.UNRECOGNIZED_STATE}
    assert UNRECOGNIZED == {("acme", "cooling"): 2, ("acme", ""): 1, ("other", "cooling"): 2, ("other", ""): 1}
    assert len(caplog.records) == 4


def test_what_nobody_knows_is_not_final() -> None:
    assert lookup(TABLE, "cooling", "acme") not in FINAL
    assert {ExportJob.State.Name(state) for state in FINAL} == {
        *("SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED")
    }


def test_a_vendor_that_never_says_the_same_word_fills_neither_log_nor_memory(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "MAX_WORDS", 10)
    with caplog.at_level(logging.WARNING):
        for number in range(100):
            assert lookup(TABLE, f"{number}" + "x" * 10_000, "acme") == ExportJob.UNRECOGNIZED_STATE
    assert len(UNRECOGNIZED) == len(caplog.records) == 10
    assert max(len(word) for _, word in UNRECOGNIZED) == MAX_WORD_CHARS
    assert MAX_WORDS == 1000


def test_a_word_can_not_forge_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        lookup(TABLE, "cooling\nERROR all is lost", "acme")
    assert "\n" not in caplog.records[0].getMessage()
