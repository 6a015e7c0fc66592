"""The table in the project's README: from what the last whole run wrote, and the last soak."""

from pathlib import Path

import msgspec

from tests.bench.figures import Report, table

README = Path("README.md")
BEGIN, END = '<!-- bench: made by `make bench ARGS="--readme"` -->\n', "<!-- bench: end -->"
WITHOUT_TARGET = (
    "load average of the machine before",
    "start to ready, CPU",
    "GetDestination: CPU per call, gateway",
    "GetDestination: CPU per call, bare pipe",
    "GetDestination: p50 at 1 in flight, gateway",
    "GetDestination: p50, direct, aiohttp",
    "GetDestination: p50, direct, requests",
    "GetDestination, saturated: gateway",
    "GetDestination, saturated: bare pipe",
    "CreateExportJob, ledger in sqlite: CPU per call ÷ memory",
    "CreateExportJob, ledger in sqlite: time per call ÷ memory",
    "CreateExportJob, ledger in sqlite: time per call",
    "CreateExportJob, ledger in postgresql: CPU per call ÷ memory",
    "CreateExportJob, ledger in postgresql: time per call ÷ memory",
    "CreateExportJob, ledger in postgresql: time per call",
    "upload, gateway",
    "download, gateway",
    "resident memory, after load",
)
"""What is told beside everything that has a target."""


def write(*files: Path) -> None:
    """Put the reports into the README.

    Raises:
        FileNotFoundError: There was no run yet.
    """
    reports = [msgspec.json.decode(file.read_bytes(), type=Report) for file in files if file.exists()]
    if not reports:
        raise FileNotFoundError(f"{files[0]} is not there: run the whole bench first")
    before, _, rest = README.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(before + BEGIN + section(*reports) + END + after, "utf-8")


def section(*reports: Report) -> str:
    """Return what stands between the marks."""
    rows = [row for found in reports for row in found.rows if row.target or row.figure in WITHOUT_TARGET]
    return table(msgspec.structs.replace(reports[0], rows=rows)) + "\n"
