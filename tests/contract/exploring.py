"""Has a simulator asked everything that a published document allows: what is asked, and what comes of it."""

import asyncio
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.contract.documents import Document
from tests.contract.flaws import Finding

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 300.0
"""Some fifteen times what it takes."""
MAX_EXAMPLES = 50
"""Of each operation at random; all values that are special by the document come on top."""
PROBABILITY = 0.9
"""With which a parameter is one of the seeds."""
IGNORED = {"content-type", "accept"}
"""Parameters whose definition is ignored, by OpenAPI: the media types of bodies and answers say it."""
# 412 refuses a request, too.
REFUSALS = {"expected-statuses": [400, 401, 403, 404, 405, 406, 409, 412, 415, 422]}


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """What a random request has to know of the simulator, to get more than errors."""

    headers: Mapping[str, str]
    """Of every request: who asks."""
    parameters: Mapping[str, Sequence[str | int]]
    """By the place and the name of the parameter, as in `path.thingId`. The first is of something that is there."""
    bodies: Mapping[str, Sequence[Any]]
    """In the place of the document's examples, by operation. The first is good."""


@dataclass(frozen=True)
class Exploration:
    """What came of it."""

    findings: list[Finding]
    """The first of each."""
    statuses: dict[str, set[int]]
    """Which were answered, by operation."""


async def explore(
    document: Document,
    base_url: str,
    seeds: Seeds,
    *,
    control: str,
    skip: Iterable[str] = (),
    switches: Mapping[str, Any] = MappingProxyType({}),
    max_examples: int = MAX_EXAMPLES,
) -> Exploration:
    """Have the simulator at *base_url* asked all but the operations to *skip*; always the same, in the same order.

    Before every request, it is reset by its *control* surface, and *switches* are set.
    """
    order = {
        "document": _seeded(document, seeds),
        "config": _config(base_url, seeds, max_examples),
        "skip": [*skip],
        "control": control,
        "switches": {**switches},
    }
    asking = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.contract.asking"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        output, _ = await asyncio.wait_for(asking.communicate(json.dumps(order).encode()), TIMEOUT_S)
    finally:
        if asking.returncode is None:
            asking.kill()
    assert asking.returncode == 0
    found = json.loads(output)
    return Exploration(
        [Finding(operation, kind, tuple(said), seen) for operation, kind, said, seen in found["findings"]],
        {operation: {int(status) for status in counts} for operation, counts in found["statuses"].items()},
    )


def _seeded(document: Document, seeds: Seeds) -> dict[str, Any]:
    """Return the document with other examples, and without what OpenAPI says that is ignored."""
    tree = deepcopy(document.tree)
    for operation in (each for path in tree["paths"].values() for each in path.values() if "responses" in each):
        parameters = [document.parameter(each) for each in operation.get("parameters", ())]
        operation["parameters"] = [
            {**each, "example": seeds.parameters[key][0]} if (key := _key(each)) in seeds.parameters else each
            for each in parameters
            if each["name"].lower() not in IGNORED
        ]
    for label, bodies in seeds.bodies.items():
        method, path = label.split(" ")
        for content in tree["paths"][path][method.lower()]["requestBody"]["content"].values():
            content.pop("example", None)
            content["examples"] = {str(n): {"value": body} for n, body in enumerate(bodies)}
    return tree


def _key(parameter: Mapping[str, Any]) -> str:
    return f"{parameter['in']}.{parameter['name']}"


def _config(base_url: str, seeds: Seeds, max_examples: int) -> dict[str, Any]:
    names = {key: f"seed-{n}" for n, key in enumerate(seeds.parameters)}
    return {
        "base-url": base_url,
        "headers": {**seeds.headers},
        "seed": 1,
        "generation": {
            "deterministic": True,
            "database": "none",
            "max-examples": max_examples,
            "no-shrink": True,  # in the tool's eyes nothing fails, see `asking`
        },
        # What comes after what is tested with the simulators: here each request finds the seed state.
        "phases": {"stateful": {"enabled": False}},
        "checks": {"negative_data_rejection": REFUSALS, "missing_required_header": REFUSALS},
        "cache": {"enabled": False},
        "dictionaries": {names[key]: {"values": [*values]} for key, values in seeds.parameters.items()},
        "parameters": {f"header.{name}": text for name, text in seeds.headers.items()}
        | {key: {"dictionary": name, "probability": PROBABILITY} for key, name in names.items()},
    }
