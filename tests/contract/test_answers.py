"""Simulators answer as their vendors' published documents say, to whatever these allow and to some of the rest."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from adapters.sandbox import Call, Reply
from adapters.segment.sandbox import SegmentSandbox
from tests.contract.adobe import LIST_JOBS, SEGMENTATION
from tests.contract.flaws import judge
from tests.contract.published import Explored, Published, Reader
from tests.contract.segment import ONE, PUBLIC_API


class Forgetful(SegmentSandbox):
    """Does not say whether a destination is enabled."""

    def stamp(self, call: Call, reply: Reply) -> None:
        super().stamp(call, reply)
        if call.route == f"GET {ONE}" and isinstance(reply.body, bytes):
            answer = json.loads(reply.body)
            del answer["data"]["destination"]["enabled"]
            reply.body = json.dumps(answer).encode()


def test_every_answer_is_documented(explored: Explored) -> None:
    assert "\n".join(judge(explored.exploration.findings, explored.published.answer_flaws)) == ""


def test_every_documented_operation_succeeds_unless_it_is_not_simulated(explored: Explored) -> None:
    statuses = explored.exploration.statuses
    succeeded = {operation for operation, seen in statuses.items() if any(200 <= status < 300 for status in seen)}
    assert succeeded | explored.published.unsimulated.keys() == explored.document.operations.keys()


def test_what_is_said_to_be_not_simulated_is_not(explored: Explored) -> None:
    published = explored.published
    routes = {re.sub(r"{\w+}", "{}", route) for route in published.simulator().routes()}
    not_there = {re.sub(r"{\w+}", "{}", each).replace(" ", f" {published.base}") for each in published.unsimulated}
    assert not routes & not_there


@pytest.mark.parametrize(
    ("published", "operation", "switches"),
    [
        (replace(PUBLIC_API, simulator=Forgetful), f"GET {ONE}", {}),
        # A status that nobody knows, and batches as the page on export jobs has them.
        (SEGMENTATION, LIST_JOBS, {"odd_status": True}),
        (SEGMENTATION, LIST_JOBS, {"batches": "array"}),
    ],
)
async def test_a_simulator_that_answers_otherwise_is_noticed(
    read: Reader, published: Published, operation: str, switches: dict[str, Any]
) -> None:
    document = read(published)
    explored = await published.explore(document, skip=document.operations.keys() - {operation}, **switches)
    unexplained = [line for line in judge(explored.findings, published.answer_flaws) if "nothing is wrong" not in line]
    assert unexplained
    assert all(line.startswith(f"{operation}: JsonSchemaError") for line in unexplained)
