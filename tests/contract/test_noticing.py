"""What holds answers and requests against a document notices what is wrong, and nothing else."""

from typing import Any

import pytest
import yaml

from tests.contract.checking import Checker
from tests.contract.documents import Yaml
from tests.contract.exploring import Seeds, explore
from tests.contract.flaws import Finding, Flaw, Repair, judge
from tests.contract.library import DOCUMENT, RIGHT, WRONG, Library

GOOD: dict[str, Any] = {
    "method": "POST",
    "path": "/books",
    "query_string": "",
    "query": [],
    "headers": {"Authorization": "Bearer card", "Content-Type": "application/json", "Accept": "application/json"},
    "body": '{"title":"A","pages":7}',
}
LIST: dict[str, Any] = GOOD | {"method": "GET", "query": [["paging[count]", "2"], ["paging[cursor]", "b"]], "body": ""}


def headers(**changes: str) -> dict[str, Any]:
    """Return the changed headers; underscores stand for hyphens."""
    return {"headers": GOOD["headers"] | {name.replace("_", "-"): text for name, text in changes.items()}}


async def test_every_answer_that_is_not_as_documented_is_noticed() -> None:
    library = Library()
    url = await library.start()
    seeds = Seeds(headers={"Authorization": "Bearer card"}, parameters={}, bodies={})
    explored = await explore(DOCUMENT, url, seeds, control=f"{url}/_sandbox", max_examples=5)
    await library.stop()
    assert {finding[:2] for finding in explored.findings} == {*WRONG.items()}, explored.findings
    assert all(200 in explored.statuses[operation] for operation in RIGHT)
    (refused,) = (finding for finding in explored.findings if finding.operation == "POST /takes-none")
    assert refused.said == ("400 we are full",)


@pytest.mark.parametrize("entry", [GOOD, LIST, LIST | {"query": []}, LIST | headers(X_Reader="7")])
def test_a_request_that_is_as_documented_is_let_pass(entry: dict[str, Any]) -> None:
    assert [*Checker(DOCUMENT).check(entry, entry["path"])] == []


@pytest.mark.parametrize(
    ("entry", "kind", "said"),
    [
        (GOOD | {"path": "/shelves"}, "Undocumented", "there is no such operation"),
        (GOOD | {"method": "PUT"}, "Undocumented", "there is no such operation"),
        (GOOD | {"body": '{"pages":7}'}, "InvalidRequestBody", "$: 'title' is a required property"),
        (GOOD | {"body": '{"title":7}'}, "InvalidRequestBody", "$.title: 7 is not of type 'string'"),
        (GOOD | {"body": '{"title":""}'}, "InvalidRequestBody", "$.title: '' should be non-empty"),
        (
            *(GOOD | {"body": '{"title":"A","author":"B"}'}, "InvalidRequestBody"),
            "$: Additional properties are not allowed ('author' was unexpected)",
        ),
        (GOOD | {"body": ""}, "MissingRequiredRequestBody", "Missing required request body"),
        (GOOD | headers(Content_Type="text/plain"), "RequestBodyValidationError", ""),
        (GOOD | headers(Authorization="Basic card"), "SecurityValidationError", ""),
        (GOOD | headers(Accept="text/html"), "Undocumented", "accepts text/html"),
        (GOOD | headers(X_Author="B"), "Undocumented", "header x-author"),
        (GOOD | {"query": [["author", "B"]]}, "Undocumented", "query author"),
        (LIST | {"query": [["paging[cursor]", "b"]]}, "InvalidParameter", "$: 'count' is a required property"),
        (LIST | {"query": [["paging[count]", "many"]]}, "ParameterValidationError", ""),
        (LIST | {"query": [["paging[count]", "0"]]}, "InvalidParameter", "$.count: 0 is less than the minimum of 1"),
        (LIST | {"query": [["paging.count", "2"]]}, "Undocumented", "query paging.count"),
        (LIST | {"body": "{}"}, "Undocumented", "a body"),
    ],
)
def test_a_request_that_is_not_as_documented_is_noticed(entry: dict[str, Any], kind: str, said: str) -> None:
    (finding,) = Checker(DOCUMENT).check(entry, entry["path"])
    assert (finding.kind, *finding.said) == (kind, said or finding.said[0])


FINDING = Finding("GET /books", "Rejected", ("400 no page", "400 no card"), "GET /books?")
PAGE, CARD = (Flaw(("GET /books",), "Rejected", says, "nobody said") for says in ("400 no page", "4.. no card"))


@pytest.mark.parametrize(
    ("flaws", "reported"),
    [
        ((PAGE, CARD), []),
        ((PAGE,), ["GET /books: Rejected: 400 no page; 400 no card", "GET /books: nothing is wrong any more"]),
        ((PAGE, CARD._replace(operations=("POST /books",))), ["GET /books: Rejected", "GET /books: nothing", "POST"]),
        (
            (PAGE, CARD._replace(kind="Accepted")),
            ["GET /books: Rejected", "GET /books: nothing", "GET /books: nothing"],
        ),
        ((PAGE, CARD._replace(says="no card")), ["GET /books: Rejected", "GET /books: nothing", "GET /books: nothing"]),
        ((PAGE, CARD, PAGE._replace(says="404")), ["GET /books: nothing is wrong any more: Rejected: 404"]),
    ],
)
def test_only_a_flaw_that_explains_everything_is_let_pass_and_none_outlives_its_reason(
    flaws: tuple[Flaw, ...], reported: list[str]
) -> None:
    lines = sorted(judge([FINDING], flaws), key=lambda line: ("nothing" in line, line))
    assert [line[: len(start)] for line, start in zip(lines, reported, strict=True)] == reported


def test_a_repair_makes_a_parameter_usable_and_fails_where_there_is_nothing_to_repair() -> None:
    text = Repair(("GET /books",), ("paging",), {"explode": True}, {"schema": {"type": "string"}, "style": "form"}, "")
    repaired = Checker(DOCUMENT, [text])
    assert not [each for each in repaired.check(LIST, "/books") if each.kind != "Undocumented"]
    with pytest.raises(AssertionError, match="nothing to repair in paging"):
        Checker(DOCUMENT, [text._replace(wrong={"explode": False})])


def test_what_looks_like_a_number_or_a_date_in_older_yaml_is_text() -> None:
    text = "{cursor: 1540974701302_96, day: 2018-01-01, answer: no, count: 20, half: .5, none: , yes: true}"
    words = {"cursor": "1540974701302_96", "day": "2018-01-01", "answer": "no"}
    assert yaml.load(text, Yaml) == words | {"count": 20, "half": 0.5, "none": None, "yes": True}
