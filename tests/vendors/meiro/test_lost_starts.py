"""An export whose start was not answered: found again by its mark, wherever Meiro's clock stands."""

import pytest

from adapters.errors import NotSupported, OutcomeUnknown
from adapters.meiro.adapter import MeiroAdapter
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from tests.vendors.meiro.instance import Meiro
from tests.vendors.meiro.test_export_jobs import wanted

HOUR_S = 3600.0
MARKER, OTHER = "0a1b2c3d", "d3c2b1a0"
START = "/segments/301/exports"


async def run(adapter: MeiroAdapter, marker: str, job: ExportJob | None = None) -> ExportJob:
    return await adapter.create_export_job(job or wanted(), marker=marker, validate_only=False)


async def lose(meiro: Meiro, adapter: MeiroAdapter, drop: str = "after") -> None:
    meiro.sandbox.fault(method="POST", path=START, drop=drop)
    with pytest.raises(OutcomeUnknown):
        await run(adapter, MARKER)


async def found(adapter: MeiroAdapter, sent_at_s: float) -> list[ExportJob]:
    return await adapter.find_export_jobs(wanted(), marker=MARKER, sent_at_s=sent_at_s)


@pytest.mark.parametrize("ahead_h", [-14, 0, 14])
@pytest.mark.parametrize("zone_h", [-12, 0, 14])
async def test_it_is_found_behind_others_wherever_the_clocks_stand(
    meiro: Meiro, adapter: MeiroAdapter, ahead_h: int, zone_h: int
) -> None:
    meiro.sandbox.set_switches(zone_h=zone_h)
    sent_at_s = meiro.sandbox.clock.now() - ahead_h * HOUR_S
    await lose(meiro, adapter)
    for _ in range(101):  # More than a page.
        await run(adapter, OTHER)
    jobs = await found(adapter, sent_at_s)

    assert [meiro.sandbox.exports[int(job.vendor_job_id)].name for job in jobs] == [f"Spring letter [gw:{MARKER}]"]
    assert jobs == [await adapter.get_export_job(jobs[0].name.rpartition("/")[2])]


async def test_one_that_never_arrived_is_not_found(meiro: Meiro, adapter: MeiroAdapter) -> None:
    await lose(meiro, adapter, "before")
    await run(adapter, OTHER)

    assert await found(adapter, meiro.sandbox.clock.now()) == []


async def test_a_copy_that_was_made_by_hand_is_found_as_well(meiro: Meiro, adapter: MeiroAdapter) -> None:
    await lose(meiro, adapter)
    copy = await run(adapter, "", wanted(display_name=f"Spring letter [gw:{MARKER}]"))
    meiro.sandbox.exports[int(copy.vendor_job_id)].name = f"Spring letter [gw:{MARKER}]"

    assert len(await found(adapter, meiro.sandbox.clock.now())) == 2


async def test_what_is_above_a_page_of_old_exports_is_all_that_is_read(meiro: Meiro, adapter: MeiroAdapter) -> None:
    for _ in range(101):
        await run(adapter, OTHER)
    meiro.sandbox.journal.clear()
    sent_at_s = meiro.sandbox.clock.now() + 27 * HOUR_S

    assert await found(adapter, sent_at_s) == []
    assert len(meiro.requests()) == 1


async def test_of_a_segment_that_is_gone_nobody_can_tell(meiro: Meiro, adapter: MeiroAdapter) -> None:
    job = wanted(audience_id="999999")
    with pytest.raises(NotSupported):
        await adapter.find_export_jobs(job, marker=MARKER, sent_at_s=meiro.sandbox.clock.now())


async def test_without_marks_there_is_nothing_to_find_one_by(meiro: Meiro) -> None:
    adapter = meiro.connect(mark_exports=False)
    started = await run(adapter, MARKER)

    assert meiro.sandbox.exports[int(started.vendor_job_id)].name == "Spring letter"
    with pytest.raises(NotSupported):
        await found(adapter, meiro.sandbox.clock.now())
