"""Resource names: both directions are exact, and nothing hostile gets through as anything else."""

import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from adapters import names
from adapters.errors import InvalidRequest

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
IDS = st.from_regex(r"[A-Za-z0-9._~-]{1,40}", fullmatch=True).filter(lambda text: text not in {"-", ".", ".."})
CONNECTIONS = st.from_regex(r"[a-z][a-z0-9-]{0,62}", fullmatch=True)
KINDS = ["Connection", "Destination", "Subscription", "ExportJob", "ExportJobRevision"]

FROZEN = [
    # Every row was handed out once: it must be understood for ever.
    (("300",), "300"),
    (("300", "100"), "300~100"),
    (("1042", "7f3c9d"), "1042~7f3c9d"),
    (("fP7qoQw2HTWt9WdMr718gn", "2Vu", "mdl-1", "sync.9"), "fP7qoQw2HTWt9WdMr718gn~2Vu~mdl-1~sync.9"),
    (("snake_case",), "snake__case"),
    (("_",), "__"),
    (("__",), "____"),
    (("_5F",), "__5F"),
    (("a~b",), "a_7Eb"),
    (("a", "b~", "~c"), "a~b_7E~_7Ec"),
    (("a/b",), "a_2Fb"),
    (("%2F",), "_252F"),
    ((" ",), "_20"),
    (("\x00",), "_00"),
    (("line\n",), "line_0A"),
    (("-",), "_2D"),
    ((".",), "_2E"),
    (("..",), "_2E."),
    (("...",), "..."),
    (("--",), "--"),
    (("-.", ".-"), "-.~.-"),
    (("-", "..", "."), "_2D~_2E.~_2E"),
    (("é",), "_C3_A9"),
    (("segment:ž",), "segment_3A_C5_BE"),
    (("𐍈",), "_F0_90_8D_88"),
    (("1540974701302_96",), "1540974701302__96"),
]

HOSTILE = [
    "",
    "-",
    ".",
    "..",
    "../destinations/1",
    "a/b",
    "a%2Fb",
    "%2e%2e",
    "a b",
    "a\x00",
    "1\n",
    "\n",
    "1\r\n",
    "\u0661\u0662",
    "\uff11",
    "é",
    "\ud800",
    "a\u2028",
    "x" * 10_000,
    "?q=1",
    "a#b",
    "*",
]


@pytest.mark.parametrize(("parts", "joined"), FROZEN)
def test_ids_handed_out_once_are_the_same_for_ever(parts: tuple[str, ...], joined: str) -> None:
    assert names.join_id(*parts) == joined
    assert names.split_id(joined, len(parts)) == parts


@given(st.lists(TEXTS, min_size=1, max_size=6))
@example(["\x00\u0661", "_", "_2E", "%5F", "~", "."])
def test_what_is_joined_splits_into_the_same_parts(parts: list[str]) -> None:
    assert names.split_id(names.join_id(*parts), len(parts)) == tuple(parts)


@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_a_joined_id_holds_nothing_that_a_path_would_take_for_more(parts: list[str]) -> None:
    joined = names.join_id(*parts)
    assert re.fullmatch(r"[A-Za-z0-9._~-]+", joined, re.ASCII)
    assert joined not in {"-", ".", ".."}


@given(st.lists(TEXTS, min_size=1, max_size=4), st.lists(TEXTS, min_size=1, max_size=4))
def test_different_parts_never_join_into_one_id(left: list[str], right: list[str]) -> None:
    assume(left != right)
    assert names.join_id(*left) != names.join_id(*right)


@given(st.text(st.sampled_from("aF0_~.-%27EDC3\xe9\ud800\n"), max_size=12) | st.text(max_size=12), st.integers(1, 4))
@example("_2f", 1)
@example("_41", 1)
@example("_5F", 1)
@example("a_", 1)
@example("_C3", 1)
@example("_ED_A0_80", 1)
@example("_EF_BF_BD", 1)
@example("\ud800", 1)
@example("_\ud800", 1)
def test_only_the_one_spelling_that_join_makes_is_split(resource_id: str, count: int) -> None:
    try:
        parts = names.split_id(resource_id, count)
    except InvalidRequest as error:
        reason = error.reason
    else:
        reason = "INVALID_RESOURCE_NAME"
        assert len(parts) == count
        assert all(parts)
        assert names.join_id(*parts) == resource_id
    assert reason == "INVALID_RESOURCE_NAME"


@pytest.mark.parametrize(("resource_id", "count"), [("1~2", 1), ("1", 2), ("1~2~3", 2), ("1~", 2), ("~1", 2), ("~", 2)])
def test_another_number_of_parts_is_no_such_id(resource_id: str, count: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        names.split_id(resource_id, count)
    assert caught.value.reason == "INVALID_RESOURCE_NAME"


@given(CONNECTIONS, IDS, IDS)
def test_every_kind_of_name_parses_into_what_it_was_made_of(c: str, x: str, y: str) -> None:
    assert names.parse(names.connection(c), "Connection") == (c,)
    assert names.parse(names.destination(c, x), "Destination") == (c, x)
    assert names.parse(names.subscription(c, x, y), "Subscription") == (c, x, y)
    assert names.parse(names.export_job(c, x), "ExportJob") == (c, x)
    assert names.parse(names.revision(c, x, y), "ExportJobRevision") == (c, x, y)


def test_names_are_spelled_as_the_contract_does() -> None:
    assert names.connection("main") == "connections/main"
    assert names.destination("main", "1") == "connections/main/destinations/1"
    assert names.subscription("main", "1", "2") == "connections/main/destinations/1/subscriptions/2"
    assert names.export_job("main", "1") == "connections/main/exportJobs/1"
    assert names.revision("main", "1", "2") == "connections/main/exportJobs/1/revisions/2"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("connections/main", "Connection"),
        ("connections/main/destinations/1", "Destination"),
        ("connections/main/destinations/1/subscriptions/2", "Subscription"),
        ("connections/main/exportJobs/1", "ExportJob"),
        ("connections/main/exportJobs/1/revisions/2", "ExportJobRevision"),
    ],
)
def test_a_name_tells_its_kind_and_is_of_no_other(name: str, kind: str) -> None:
    assert names.kind(name) == kind
    for other in KINDS:
        if other != kind:
            with pytest.raises(InvalidRequest):
                names.parse(name, other)


@pytest.mark.parametrize("hostile", HOSTILE, ids=ascii)
@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_id_is_an_invalid_name_wherever_it_stands(hostile: str, kind: str) -> None:
    collections = names.PATTERNS[kind]
    for place in collections:
        name = "/".join(f"{collection}/{hostile if collection == place else 'a1'}" for collection in collections)
        with pytest.raises(InvalidRequest) as caught:
            names.parse(name, kind)
        error = caught.value
        assert error.reason == "INVALID_RESOURCE_NAME"
        assert error.violations[0].reason == "INVALID_RESOURCE_NAME"
        assert len(error.message) < 2_000


@pytest.mark.parametrize("hostile", [text for text in HOSTILE if text != "x" * 10_000], ids=ascii)
def test_a_hostile_id_is_not_split_either(hostile: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        names.split_id(hostile, 1)
    assert caught.value.reason == "INVALID_RESOURCE_NAME"


@given(st.text(), st.sampled_from(KINDS))
@example("connections/main\n", "Connection")
@example("connections/main/", "Connection")
@example("/connections/main", "Connection")
@example("connections/main/exportJobs/1\n", "ExportJob")
@example("connections/-", "Connection")
@example("connections/Main", "Connection")
@example("connections/1main", "Connection")
@example("connections/" + "a" * 64, "Connection")
@example("connections/ma\u0131n", "Connection")
def test_no_text_at_all_is_answered_by_another_exception(text: str, kind: str) -> None:
    try:
        ids = names.parse(text, kind)
    except InvalidRequest as error:
        reason, shown = error.reason, error.metadata["resource"]
    else:
        reason, shown = "INVALID_RESOURCE_NAME", ""
        assert "/".join(f"{c}/{i}" for c, i in zip(names.PATTERNS[kind], ids, strict=True)) == text
    assert reason == "INVALID_RESOURCE_NAME"
    assert shown.isascii()
    assert shown.isprintable()


def test_the_longest_connection_id_has_63_characters() -> None:
    assert names.is_connection_id("a" * 63)
    assert not names.is_connection_id("a" * 64)


def test_an_invalid_name_says_what_was_expected_and_what_came() -> None:
    error = names.invalid_name("connections/m/destinations/ü\n", "ExportJob", "export_job.name")
    assert error.metadata == {"resource": "connections/m/destinations/\\xfc\\n"}
    assert error.violations[0].field == "export_job.name"
    assert "connections/{connection}/exportJobs/{exportJob}" in error.message
