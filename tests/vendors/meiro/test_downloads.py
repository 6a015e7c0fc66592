"""Downloads: streamed as they come, from any offset, and never a short file that looks whole."""

import psutil
import pytest

from adapters.base import Download
from adapters.errors import DownloadInterrupted, InvalidRequest, Missing, NotFound, Precondition
from adapters.meiro.adapter import MeiroAdapter
from audiencegateway.v1.export_jobs_pb2 import DownloadHeader
from tests.vendors.meiro.instance import Meiro

JOB = "300~1001"
MIB = 1024 * 1024


async def collect(download: Download, into: bytearray) -> None:
    async for chunk in download.chunks:
        into += chunk


async def read(adapter: MeiroAdapter, job_id: str = JOB, artifact_id: str = "", offset: int = 0) -> bytes:
    received = bytearray()
    async with adapter.download_export_job(job_id, artifact_id=artifact_id, offset=offset) as download:
        await collect(download, received)
    return bytes(received)


async def header(adapter: MeiroAdapter, offset: int = 0) -> DownloadHeader:
    async with adapter.download_export_job(JOB, artifact_id="", offset=offset) as download:
        return download.header


@pytest.mark.parametrize("artifact_id", ["", "file"])
async def test_the_file_of_a_finished_job_is_downloaded(adapter: MeiroAdapter, artifact_id: str) -> None:
    lines = (await read(adapter, artifact_id=artifact_id)).decode().splitlines()
    assert lines[0] == "email,first_name"
    assert len(lines) == 26


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ({}, ("text/csv; charset=utf-8", "export-1001.csv", True)),
        ({"download_content_type": "absent"}, ("application/octet-stream", "export-1001.csv", True)),
        ({"download_filename": "encoded"}, ("text/csv; charset=utf-8", "média-export-1001.csv", True)),
        ({"download_filename": "absent"}, ("text/csv; charset=utf-8", "", True)),
        ({"download_framing": "chunked"}, ("text/csv; charset=utf-8", "export-1001.csv", False)),
    ],
    ids=str,
)
async def test_the_header_says_what_meiro_says(
    meiro: Meiro, adapter: MeiroAdapter, switches: dict[str, str], expected: tuple[str, str, bool]
) -> None:
    meiro.sandbox.set_switches(**switches)
    found = await header(adapter)
    assert (found.content_type, found.filename, found.HasField("size_bytes")) == expected
    if found.HasField("size_bytes"):
        assert found.size_bytes == len(await read(adapter))


@pytest.mark.parametrize("ranges", [False, True])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_download_goes_on_anywhere_by_range_or_by_skipping(
    meiro: Meiro, adapter: MeiroAdapter, ranges: bool, framing: str
) -> None:
    meiro.sandbox.set_switches(download_ranges=ranges, download_framing=framing)
    whole = await read(adapter)
    for offset in (1, 17, 700, len(whole) - 1, len(whole)):
        assert await read(adapter, offset=offset) == whole[offset:]
        assert meiro.sandbox.journal[-1]["headers"]["Range"] == f"bytes={offset}-"
    if ranges or framing == "length":
        assert (await header(adapter, offset=17)).size_bytes == len(whole)
    with pytest.raises(InvalidRequest) as beyond:
        await read(adapter, offset=len(whole) + 1)
    assert beyond.value.violations[0].field == "read_offset"


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_download_that_breaks_off_says_where_and_goes_on_there(
    meiro: Meiro, adapter: MeiroAdapter, framing: str
) -> None:
    meiro.sandbox.set_switches(download_rows=20_000, download_framing=framing)
    whole = await read(adapter)
    meiro.sandbox.fault(path="*/download", drop="truncate")
    received = bytearray()
    async with adapter.download_export_job(JOB, artifact_id="", offset=0) as download:
        with pytest.raises(DownloadInterrupted) as interrupted:
            await collect(download, received)
    assert 0 < len(received) < len(whole)
    assert interrupted.value.metadata == {"offset": str(len(received))}
    assert (interrupted.value.vendor, interrupted.value.connection) == ("meiro", "crm")
    assert received + await read(adapter, offset=len(received)) == whole


async def test_a_large_file_needs_no_memory(meiro: Meiro, adapter: MeiroAdapter) -> None:
    meiro.sandbox.set_switches(download_rows=1_000_000)
    process, size = psutil.Process(), 0
    async with adapter.download_export_job(JOB, artifact_id="", offset=0) as download:
        before = process.memory_info().rss
        peak = before
        async for chunk in download.chunks:
            size += len(chunk)
            peak = max(peak, process.memory_info().rss)
        assert size == download.header.size_bytes > 48 * MIB
    assert peak - before < 16 * MIB


@pytest.mark.parametrize("status", [404, 409])
@pytest.mark.parametrize(("job_id", "state"), [("300~1005", "RUNNING"), ("300~1002", "FAILED")])
async def test_a_job_without_a_file_yet_says_in_which_state_it_is(
    meiro: Meiro, adapter: MeiroAdapter, status: int, job_id: str, state: str
) -> None:
    meiro.sandbox.set_switches(no_file_status=status)
    with pytest.raises(Precondition) as refused:
        await read(adapter, job_id)
    assert (refused.value.reason, refused.value.metadata) == ("EXPORT_JOB_NOT_DOWNLOADABLE", {"state": state})
    assert refused.value.resource == f"connections/crm/exportJobs/{job_id}"


@pytest.mark.parametrize("status", [404, 409])
async def test_a_finished_job_that_made_no_file_has_no_artifact(
    meiro: Meiro, adapter: MeiroAdapter, status: int
) -> None:
    meiro.sandbox.set_switches(no_file_status=status)
    with pytest.raises(Missing) as missing:
        await read(adapter, "300~1007")
    assert missing.value.reason == "ARTIFACT_NOT_FOUND"


async def test_an_artifact_that_meiro_never_has_is_not_asked_for(meiro: Meiro, adapter: MeiroAdapter) -> None:
    with pytest.raises(Missing) as missing:
        await read(adapter, artifact_id="input")
    assert missing.value.reason == "ARTIFACT_NOT_FOUND"
    assert not meiro.requests()


async def test_an_unknown_job_is_not_found(adapter: MeiroAdapter) -> None:
    with pytest.raises(NotFound) as missing:
        await read(adapter, "300~999999")
    assert missing.value.reason == "EXPORT_JOB_NOT_FOUND"


async def test_an_error_of_the_reader_is_the_readers(adapter: MeiroAdapter) -> None:
    with pytest.raises(Precondition, match="of the reader"):
        async with adapter.download_export_job(JOB, artifact_id="", offset=0):
            raise Precondition("of the reader")
