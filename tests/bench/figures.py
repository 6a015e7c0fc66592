"""Figures: medians of paired rounds with their spread, held against targets; a table for people, JSON for machines."""

import operator
import os
import platform
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

import msgspec


class Target(NamedTuple):
    """What a figure should be."""

    sign: str
    bound: float

    def met(self, value: float) -> bool:
        """Tell whether a figure is good enough."""
        holds: Callable[[float, float], bool] = operator.le if self.sign == "≤" else operator.ge
        return holds(value, self.bound)

    def __str__(self) -> str:
        return f"{self.sign} {self.bound:g}"


def at_most(bound: float) -> Target:
    """Return a target that is met by *bound* and below."""
    return Target("≤", bound)


def at_least(bound: float) -> Target:
    """Return a target that is met by *bound* and above."""
    return Target("≥", bound)


class Row(msgspec.Struct, kw_only=True, frozen=True):
    """One figure."""

    figure: str
    value: float | None
    """None: could not be measured; `note` says why."""
    unit: str
    target: str | None = None
    ok: bool | None = None
    """None: there is no target, or no value."""
    spread: tuple[float, float] | None = None
    """The middle half of the rounds."""
    note: str = ""


class Report(msgspec.Struct, kw_only=True, frozen=True):
    """All figures of one run."""

    machine: str
    date: str
    rows: list[Row]


def rounds(figure: str, values: Sequence[float], unit: str, target: Target | None = None) -> Row:
    """Return the row of a figure that was taken in many rounds: their median, and the middle half of them."""
    middle = median(values)
    low, _, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else (middle,) * 3
    return Row(
        figure=figure,
        value=_rounded(middle),
        unit=unit,
        target=str(target) if target else None,
        ok=target.met(middle) if target else None,
        spread=(_rounded(low), _rounded(high)),
    )


def single(figure: str, value: float, unit: str, target: Target | None = None) -> Row:
    """Return the row of a figure that was taken once."""
    return msgspec.structs.replace(rounds(figure, [value], unit, target), spread=None)


def skipped(figure: str, unit: str, target: Target | None, why: str) -> Row:
    """Return the row of a figure that could not be taken."""
    return Row(figure=figure, value=None, unit=unit, target=str(target) if target else None, note=why)


def report(rows: Iterable[Row]) -> Report:
    """Return a report of this machine and moment."""
    return Report(machine=_machine(), date=datetime.now(UTC).date().isoformat(), rows=list(rows))


MARKS = {True: "ok", False: "MISSED", None: ""}


def table(found: Report) -> str:
    """Return a report for people, as Markdown."""
    lines = [f"{found.machine}; {found.date}", "", "| figure | value | target | | rounds |", "|---|---:|---|---|---|"]
    lines += [
        f"| {row.figure} | {_value(row)} | {row.target or ''} | {MARKS[row.ok]} | {_said(row)} |" for row in found.rows
    ]
    return "\n".join(lines)


def targets(found: Report) -> str:
    """Return every figure that has a target, those that fall short last, in plain lines."""
    aimed = sorted((row for row in found.rows if row.target), key=lambda row: row.ok is not True)
    lines = [f"{MARKS[row.ok] or '-':6}  {row.figure}: {_value(row)} ({row.target}) {row.note}" for row in aimed]
    short = sum(row.ok is not True for row in aimed)
    return "\n".join([*lines, f"{len(aimed) - short} of {len(aimed)} targets are met"])


def _said(row: Row) -> str:
    spread = f"{_number(row.spread[0])} … {_number(row.spread[1])}" if row.spread else ""
    return "; ".join(filter(None, [spread, row.note]))


def _value(row: Row) -> str:
    return "-" if row.value is None else f"{_number(row.value)} {row.unit}".strip()


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def _machine() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", info.read_text("utf-8"), re.MULTILINE) if info.exists() else None
    return ", ".join(
        [
            f"{found[1] if found else platform.machine()} x {os.cpu_count()}",
            f"{platform.system()} {platform.release().split('-')[0]}",
            f"Python {platform.python_version()}",
            *(f"{name} {version(name)}" for name in ("grpcio", "protobuf", "aiohttp")),
        ]
    )
