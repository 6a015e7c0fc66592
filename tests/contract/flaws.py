"""Where what was seen and what is published differ, and the differences that are the published document's own fault."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple


class Finding(NamedTuple):
    """One way in which an answer or a request is not what the document says."""

    operation: str
    kind: str
    """What noticed it."""
    said: tuple[str, ...]
    """What is wrong; with several texts, all of it."""
    seen: str
    """The request and the answer that it was noticed with, to look at."""

    def __str__(self) -> str:
        """Return it for a report."""
        return f"{self.operation}: {self.kind}: {'; '.join(self.said)}\n    {self.seen}"


class Flaw(NamedTuple):
    """What a published document gets wrong. Nothing else is let pass, and a flaw that is none any more is an error."""

    operations: tuple[str, ...]
    """Those that are concerned. Each of them has to be seen."""
    kind: str
    says: str
    """A regular expression for one thing that is wrong, from its beginning to its end."""
    why: str

    def explains(self, kind: str, text: str) -> bool:
        """Say whether this is what was meant."""
        return kind == self.kind and re.fullmatch(self.says, text, re.DOTALL) is not None


class Repair(NamedTuple):
    """What makes a document unusable for a tool, and how it is put right before the tool gets it."""

    operations: tuple[str, ...]
    parameters: tuple[str, ...]
    wrong: Mapping[str, Any]
    """What the definition of each has; a repair of what is not broken is an error."""
    right: Mapping[str, Any]
    why: str


def judge(findings: Iterable[Finding], flaws: Iterable[Flaw]) -> Iterator[str]:
    """Yield what no flaw explains, and then what flaws are about that was not seen."""
    unseen = {(operation, flaw) for flaw in flaws for operation in flaw.operations}
    known = sorted(unseen)
    for finding in findings:
        explained = [
            [
                (operation, flaw)
                for operation, flaw in known
                if operation == finding.operation and flaw.explains(finding.kind, text)
            ]
            for text in finding.said
        ]
        if not all(explained):
            yield str(finding)
        else:
            unseen.difference_update(*explained)
    for operation, flaw in sorted(unseen):
        yield f"{operation}: nothing is wrong any more: {flaw.kind}: {flaw.says} ({flaw.why})"
