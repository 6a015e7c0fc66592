"""A file whose sending was not answered: found again by the name that it was sent under, if it was."""

import pytest

from adapters.errors import NotSupported, OutcomeUnknown, Unavailable
from adapters.mediarithmics.adapter import MediarithmicsAdapter
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from tests.vendors.mediarithmics.datamart import ADD, IMPORTS, LEAFLET, NEVER_USED, Datamart, named, upload

MARKER, OTHER = "0a1b2c3d", "d3c2b1a0"
HOUR_S = 3600.0


async def lose(datamart: Datamart, adapter: MediarithmicsAdapter, destination_id: str, drop: str = "after") -> None:
    datamart.sandbox.fault(method="POST", path=f"{IMPORTS}/*/executions", drop=drop)
    with pytest.raises(OutcomeUnknown):
        await upload(adapter, ADD, destination_id=destination_id, marker=MARKER)


async def found(
    datamart: Datamart, adapter: MediarithmicsAdapter, destination_id: str, later_s: float = 0.0
) -> list[ExportJob]:
    wanted, sent_at_s = ExportJob(destination=named(destination_id)), datamart.sandbox.clock.now() + later_s
    return await adapter.find_export_jobs(wanted, marker=MARKER, sent_at_s=sent_at_s)


@pytest.mark.parametrize("destination_id", [NEVER_USED, LEAFLET])
@pytest.mark.parametrize("later_s", [0.0, 25 * HOUR_S, -25 * HOUR_S])
async def test_it_is_found_by_its_name_among_others(datamart: Datamart, destination_id: str, later_s: float) -> None:
    adapter = datamart.connect(mark_files=True)
    await lose(datamart, adapter, destination_id)
    lost = max(datamart.sandbox.executions)
    await upload(adapter, ADD, destination_id=destination_id, marker=OTHER)
    await upload(datamart.connect(), ADD, destination_id=destination_id)
    jobs = await found(datamart, adapter, destination_id, later_s)

    assert [job.vendor_job_id for job in jobs] == [str(lost)]
    assert jobs == [await adapter.get_export_job(jobs[0].name.rpartition("/")[2])]


async def test_one_that_never_arrived_is_not_found(datamart: Datamart) -> None:
    adapter = datamart.connect(mark_files=True)
    await lose(datamart, adapter, NEVER_USED, "before")
    await upload(adapter, ADD, marker=OTHER)

    assert await found(datamart, adapter, NEVER_USED) == []


async def test_as_long_as_no_name_is_shown_there_is_no_telling(datamart: Datamart) -> None:
    datamart.sandbox.set_switches(file_uri="late")
    adapter = datamart.connect(mark_files=True)
    await upload(adapter, ADD, marker=OTHER)
    with pytest.raises(Unavailable):
        await found(datamart, adapter, NEVER_USED)
    await lose(datamart, adapter, NEVER_USED)
    datamart.sandbox.clock.advance(60)

    assert len(await found(datamart, adapter, NEVER_USED)) == 1


async def test_what_has_no_name_and_was_sent_before_is_another(datamart: Datamart) -> None:
    datamart.sandbox.set_switches(file_uri="late", waiting_s=1000.0)
    adapter = datamart.connect(mark_files=True)
    await upload(adapter, ADD, marker=OTHER)

    assert await found(datamart, adapter, NEVER_USED, 301) == []


async def test_of_an_import_that_is_gone_nobody_can_tell(datamart: Datamart) -> None:
    with pytest.raises(NotSupported):
        await found(datamart, datamart.connect(mark_files=True), "99999")


async def test_without_names_there_is_nothing_to_find_one_by(datamart: Datamart) -> None:
    with pytest.raises(NotSupported):
        await found(datamart, datamart.connect(), NEVER_USED)


# Destinations.


async def test_an_import_that_was_made_unanswered_is_found_by_name_and_type(datamart: Datamart) -> None:
    adapter, wanted = datamart.connect(), Destination(display_name="Lost")
    csv = Destination(display_name="Lost")
    csv.mediarithmics.mime_type = "TEXT_CSV"
    await adapter.create_destination(csv, validate_only=False)
    await adapter.create_destination(Destination(display_name="Other"), validate_only=False)
    assert await adapter.find_destinations(wanted, sent_at_s=0.0) == []

    datamart.sandbox.fault(method="POST", path=IMPORTS, drop="after")
    with pytest.raises(OutcomeUnknown):
        await adapter.create_destination(wanted, validate_only=False)
    (found,) = await adapter.find_destinations(wanted, sent_at_s=0.0)

    assert (found.display_name, found.mediarithmics.mime_type) == ("Lost", "APPLICATION_X_NDJSON")
