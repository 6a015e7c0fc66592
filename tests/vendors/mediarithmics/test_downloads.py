"""Downloads: what was sent and what was refused, from any offset, and never a short file that looks whole."""

import json

import psutil
import pytest

from adapters.base import Download
from adapters.errors import DownloadInterrupted, InvalidRequest, Missing, NotFound, Precondition
from adapters.mediarithmics.adapter import MediarithmicsAdapter
from audiencegateway.v1.export_jobs_pb2 import DownloadHeader
from tests.vendors.mediarithmics.datamart import (
    ADD,
    LEAFLET,
    NEVER_USED,
    NEWSLETTER,
    QUEUE,
    Datamart,
    job_named,
    upload,
)

PARTIAL = f"{NEWSLETTER}~90002"
MIB = 1024 * 1024


async def collect(download: Download, into: bytearray) -> None:
    async for chunk in download.chunks:
        into += chunk


async def read(
    adapter: MediarithmicsAdapter, job_id: str = PARTIAL, artifact_id: str = "", offset: int = 0
) -> tuple[DownloadHeader, bytes]:
    async with adapter.download_export_job(job_id, artifact_id=artifact_id, offset=offset) as download:
        return download.header, b"".join([chunk async for chunk in download.chunks])


@pytest.mark.parametrize("artifact_id", ["", "input"])
async def test_what_was_sent_comes_back_as_it_was(adapter: MediarithmicsAdapter, artifact_id: str) -> None:
    header, content = await read(adapter, artifact_id=artifact_id)
    assert len([json.loads(line) for line in content.splitlines()]) == 12
    assert (header.content_type, header.filename) == ("application/x-ndjson", "example-90002.ndjson")
    assert header.size_bytes == len(content)


async def test_what_was_refused_comes_with_why(adapter: MediarithmicsAdapter) -> None:
    header, content = await read(adapter, artifact_id="error")
    assert [json.loads(line)["row"] for line in content.splitlines()] == [11, 12]
    assert header.filename == "example-90002.ndjson.err"


async def test_a_csv_file_is_called_so(adapter: MediarithmicsAdapter) -> None:
    header, content = await read(adapter, f"{LEAFLET}~90201")
    assert (header.content_type, header.filename) == ("text/csv", "example-90201.csv")
    assert content.startswith(b"operation,user_account_id,")


@pytest.mark.parametrize("job_id", [f"{QUEUE}~90402", f"{NEWSLETTER}~90003"])
async def test_what_was_sent_can_be_read_in_any_state_that_says_where_it_is(
    adapter: MediarithmicsAdapter, job_id: str
) -> None:
    _, content = await read(adapter, job_id)
    assert content.startswith(b'{"operation"')


@pytest.mark.parametrize("encoding", ["json", "everywhere", "absent"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_charset_where_an_encoding_belongs_changes_nothing(
    datamart: Datamart, adapter: MediarithmicsAdapter, framing: str, encoding: str
) -> None:
    _, before = await read(adapter)
    datamart.sandbox.set_switches(content_encoding=encoding, file_framing=framing)
    header, content = await read(adapter)
    assert content == before
    assert header.HasField("size_bytes") == (framing == "length")


@pytest.mark.parametrize(
    ("shown", "expected"),
    [("application/octet-stream", "application/octet-stream"), ("absent", "application/octet-stream")],
)
async def test_the_type_is_what_mediarithmics_says(
    datamart: Datamart, adapter: MediarithmicsAdapter, shown: str, expected: str
) -> None:
    datamart.sandbox.set_switches(file_content_type=shown)
    header, _ = await read(adapter)
    assert header.content_type == expected


@pytest.mark.parametrize("ranges", [False, True])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_download_goes_on_anywhere_by_range_or_by_skipping(
    datamart: Datamart, adapter: MediarithmicsAdapter, ranges: bool, framing: str
) -> None:
    datamart.sandbox.set_switches(file_ranges=ranges, file_framing=framing)
    _, whole = await read(adapter)
    for offset in (1, 17, 700, len(whole) - 1, len(whole)):
        assert (await read(adapter, offset=offset))[1] == whole[offset:]
        assert datamart.sandbox.journal[-1]["headers"]["Range"] == f"bytes={offset}-"
    with pytest.raises(InvalidRequest) as beyond:
        await read(adapter, offset=len(whole) + 1)
    assert beyond.value.violations[0].field == "read_offset"


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_download_that_breaks_off_says_where_and_goes_on_there(
    datamart: Datamart, adapter: MediarithmicsAdapter, framing: str
) -> None:
    datamart.sandbox.set_switches(file_framing=framing)
    job = await upload(adapter, *[ADD] * 5000)
    job_id = job.name.rpartition("/")[2]
    _, whole = await read(adapter, job_id)
    datamart.sandbox.fault(path="*/data_file/data", drop="truncate")
    received = bytearray()
    async with adapter.download_export_job(job_id, artifact_id="", offset=0) as download:
        with pytest.raises(DownloadInterrupted) as interrupted:
            await collect(download, received)
    assert 0 < len(received) < len(whole)
    assert interrupted.value.metadata == {"offset": str(len(received))}
    _, rest = await read(adapter, job_id, offset=len(received))
    assert received + rest == whole


async def test_a_large_file_needs_no_memory_of_ours(datamart: Datamart, adapter: MediarithmicsAdapter) -> None:
    datamart.sandbox.set_switches(check_rows=False)
    bag = {**ADD, "attributes_json": f'{{"a": "{"x" * 16_000}"}}'}
    job = await upload(adapter, *[bag] * 3000)
    process, size, before = psutil.Process(), 0, 0
    async with adapter.download_export_job(job.name.rpartition("/")[2], artifact_id="", offset=0) as download:
        before = peak = process.memory_info().rss
        async for chunk in download.chunks:
            size += len(chunk)
            peak = max(peak, process.memory_info().rss)
    assert size == download.header.size_bytes > 40 * MIB
    assert peak - before < 16 * MIB


@pytest.mark.parametrize(
    ("job_id", "artifact_id", "state"),
    [(f"{QUEUE}~90401", "", "PENDING"), (f"{QUEUE}~90401", "error", "PENDING"), (f"{QUEUE}~90403", "error", "RUNNING")],
)
async def test_a_file_that_is_not_there_yet_says_in_which_state_the_job_is(
    adapter: MediarithmicsAdapter, job_id: str, artifact_id: str, state: str
) -> None:
    with pytest.raises(Precondition) as refused:
        await read(adapter, job_id, artifact_id)
    assert (refused.value.reason, refused.value.metadata) == ("EXPORT_JOB_NOT_DOWNLOADABLE", {"state": state})
    assert refused.value.resource == job_named(job_id)


async def test_a_job_whose_rows_all_arrived_has_no_error_file(adapter: MediarithmicsAdapter) -> None:
    with pytest.raises(Missing) as missing:
        await read(adapter, f"{NEWSLETTER}~90001", "error")
    assert missing.value.reason == "ARTIFACT_NOT_FOUND"


async def test_a_file_that_mediarithmics_keeps_no_more_is_no_artifact(
    datamart: Datamart, adapter: MediarithmicsAdapter
) -> None:
    datamart.sandbox.set_switches(error_file="absent")
    with pytest.raises(Missing) as missing:
        await read(adapter, artifact_id="error")
    datamart.sandbox.set_switches(keep_bodies=False)
    job = await upload(adapter, ADD)
    with pytest.raises(Missing) as gone:
        await read(adapter, job.name.rpartition("/")[2])
    assert missing.value.reason == gone.value.reason == "ARTIFACT_NOT_FOUND"


async def test_an_artifact_that_no_job_has_is_not_asked_for(datamart: Datamart, adapter: MediarithmicsAdapter) -> None:
    with pytest.raises(Missing) as missing:
        await read(adapter, artifact_id="file")
    assert missing.value.reason == "ARTIFACT_NOT_FOUND"
    assert not datamart.requests()


async def test_an_unknown_job_is_not_found(adapter: MediarithmicsAdapter) -> None:
    with pytest.raises(NotFound) as missing:
        await read(adapter, f"{NEVER_USED}~99999")
    assert (missing.value.reason, missing.value.resource) == ("EXPORT_JOB_NOT_FOUND", job_named(f"{NEVER_USED}~99999"))


async def test_a_file_is_found_where_one_execution_can_not_be_read(
    datamart: Datamart, adapter: MediarithmicsAdapter
) -> None:
    datamart.sandbox.set_switches(get_execution_status=404)
    _, content = await read(adapter, artifact_id="error")
    assert content
