"""Adapters send what their vendors' published documents ask for, and nothing that these do not mention."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.contract.checking import Checker
from tests.contract.flaws import Finding, judge
from tests.contract.published import Published, Reader, Sent

Entry = dict[str, Any]
Check = Callable[[Published, Entry], list[Finding]]


def without(entry: Entry, header: str) -> Entry:
    return {name: text for name, text in entry["headers"].items() if name != header}


TAMPERINGS: dict[str, Callable[[Entry], Entry]] = {
    "another path": lambda entry: {"path": f"/example{entry['path']}"},
    "another method": lambda _: {"method": "TRACE"},
    "a query that is not documented": lambda entry: {"query": [*entry["query"], ["example", "1"]]},
    "a header that is not documented": lambda entry: {"headers": entry["headers"] | {"X-Example": "1"}},
    "a type of answer that is not documented": lambda entry: {"headers": entry["headers"] | {"Accept": "text/html"}},
    "no credential": lambda entry: {"headers": without(entry, "Authorization")},
    "a body of another type": lambda _: {"body": "[]"},
    "a body with more in it": lambda _: {"body": '{"example":1}'},
}


@pytest.fixture(scope="module")
def check(read: Reader) -> Check:
    checkers: dict[str, Checker] = {}

    def one(published: Published, entry: Entry) -> list[Finding]:
        if published.file not in checkers:
            checkers[published.file] = Checker(read(published), published.repairs)
        return list(checkers[published.file].check(entry, entry["path"].removeprefix(published.base)))

    return one


def test_every_request_is_as_documented(sent: Sent, check: Check) -> None:
    findings = [finding for published, entry in sent.documented for finding in check(published, entry)]
    flaws = [flaw for published in sent.sender.documents for flaw in published.request_flaws]
    assert "\n".join(judge(findings, flaws)) == ""


def test_requests_that_no_document_is_about_are_sent_and_not_documented(sent: Sent, read: Reader) -> None:
    assert all(sent.undocumented.values())
    for entry in (entry for entries in sent.undocumented.values() for entry in entries):
        for published in sent.sender.documents:
            assert not read(published).find(entry["method"], entry["path"].removeprefix(published.base))


def test_every_verb_of_the_adapter_was_asked_for(sent: Sent) -> None:
    assert sent.verbs >= sent.sender.adapter.verbs()


def test_where_requests_go_by_default_is_documented(sent: Sent, read: Reader) -> None:
    defaults = {field.name: field.default for field in msgspec.structs.fields(sent.sender.adapter.Settings)}
    for name, published in sent.sender.addresses.items():
        assert defaults[name] in read(published).servers


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_request_that_is_tampered_with_is_noticed(sent: Sent, check: Check, tampering: str) -> None:
    assert sent.documented
    for published, entry in sent.documented:
        changed = {**entry, **TAMPERINGS[tampering](entry)}
        known = {finding[:3] for finding in check(published, entry)}
        assert {finding[:3] for finding in check(published, changed)} - known, entry
