"""Etags: equal for what is the same to a caller, from every view, call and process; different for what is not."""

import os
import subprocess
import sys
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.rpc.error_details_pb2 import ErrorInfo
from hypothesis import given
from hypothesis import strategies as st

from audiencegateway.v1.destinations_pb2 import Destination, Subscription
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway import etags
from gateway.updates import paths, plan
from tests.gateway.arbitrary import messages, new

OF_CRM = 'W/"ab6bba740f2f842a"'


def crm() -> Destination:
    destination = new(Destination, name="connections/main/destinations/42", display_name="CRM", disabled=True)
    destination.meiro.attribute_ids.extend(["email", "phone"])
    destination.meiro.settings.update({"b": {"y": [1, None, "x"], "x": 0.5}, "a": True, "c": "é"})
    return destination


def job() -> ExportJob:
    made = new(ExportJob, name="connections/main/exportJobs/1~2", state=ExportJob.RUNNING, vendor_state="running")
    made.metrics.records_total_count = 10
    made.metrics.records_by_namespace.update({"email": 3, "phone": 4})
    return made


def test_an_etag_is_weak_and_the_same_for_ever() -> None:
    # Typed out: with another value, every etag that callers keep would turn into ETAG_MISMATCH on the day of a release.
    assert etags.of(crm()) == OF_CRM
    assert etags.of(Destination()) == 'W/"f9be920e63136958"'


def test_every_process_comes_to_the_same() -> None:
    program = "from tests.gateway.test_etags import crm; from gateway import etags; print(etags.of(crm()))"
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        made = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        assert made.stdout.strip() == etags.of(crm())


@given(keys=st.permutations(["a", "b", "c", "d", "e", "f"]))
def test_the_order_of_keys_does_not_matter(keys: list[str]) -> None:
    made = []
    for order in (sorted(keys), keys):
        with_struct, with_map = Destination(), Destination()
        for key in order:
            with_struct.meiro.settings.update({key: {inner: inner for inner in order}})
            with_map.adobe.tags[key].values.add().string_value = key
        made.append((etags.of(with_struct), etags.of(with_map)))
    assert made[0] == made[1]


def test_both_views_have_the_same_etag() -> None:
    full = crm()
    full.state = Destination.ACTIVE
    full.create_time.seconds = 1
    full.last_export_time.seconds = 2
    full.running_export_job = "connections/main/exportJobs/1~2"
    full.vendor_extras.update({"anything": 1})
    full.unapplied_fields.append("x")
    full.meiro.owner_user_id = "5"
    full.meiro.data_load_start_time.seconds = 3
    full.meiro.customer_entities_count = 0
    full.etag = "old"
    full.name = "connections/other/destinations/43"
    assert etags.of(full) == OF_CRM


def test_an_arm_or_a_struct_with_nothing_in_it_is_as_good_as_none() -> None:
    assert etags.of(new(Destination, meiro={"owner_user_id": "5"})) == etags.of(Destination())
    assert etags.of(new(Destination, meiro={"settings": Struct()})) == etags.of(Destination())
    assert etags.of(new(Subscription, segment={"schedule": {}})) == etags.of(Subscription())


def test_fields_of_two_vendors_are_not_mixed_up() -> None:
    assert etags.of(new(Destination, meiro={"icon": "x"})) != etags.of(new(Destination, meiro={"workspace_id": "x"}))
    assert etags.of(new(Destination, display_name="x")) != etags.of(new(Destination, description="x"))
    assert etags.of(new(Destination, meiro={"attribute_ids": ["ab"]})) != etags.of(
        new(Destination, meiro={"attribute_ids": ["a", "b"]})
    )


def test_the_answer_of_an_update_has_the_etag_that_get_will_have() -> None:
    made = plan(new(Destination, display_name="new"), FieldMask())(crm())
    read = crm()
    read.display_name = "new"
    assert etags.of(made.merged) == etags.of(read) != OF_CRM


def test_stamping_writes_the_etag_and_changes_nothing_else() -> None:
    stamped = crm()
    etags.stamp(stamped)
    etags.stamp(stamped)
    assert stamped.etag == OF_CRM
    stamped.ClearField("etag")
    assert stamped == crm()


@pytest.mark.parametrize("resource_type", [Destination, Subscription])
@given(data=st.data())
def test_two_resources_have_one_etag_if_all_that_callers_write_is_the_same(
    resource_type: type[Any], data: st.DataObject
) -> None:
    one = data.draw(messages(resource_type, wild=False))
    other = data.draw(st.just(one) | messages(resource_type, wild=False))
    assert (etags.of(one) == etags.of(other)) == (_written(one) == _written(other))


def _written(resource: Message) -> dict[str, object]:
    values = {leaf.path: leaf.value(resource) for leaf in paths(resource.DESCRIPTOR)["*"]}
    # Not `!= Struct()`: that holds a map of empty messages for an empty Struct.
    return {path: value for path, value in values.items() if value and not _is_empty(value)}


def _is_empty(value: object) -> bool:
    return isinstance(value, Struct) and not value.fields


@given(data=st.data())
def test_each_field_that_callers_write_counts(data: st.DataObject) -> None:
    resource = data.draw(messages(Destination, wild=False))
    before = etags.of(resource)
    leaf = data.draw(st.sampled_from(paths(Destination.DESCRIPTOR)["*"]))
    present = leaf.populated(resource) and not _is_empty(leaf.value(resource))
    if present:
        leaf.holder(resource).ClearField(leaf.field.name)
    assert (etags.of(resource) != before) == present


# --- Export jobs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "news",
    [
        {"state": ExportJob.SUCCEEDED},
        {"vendor_state": "finishing"},
        {"error": {"code": 13, "message": "disk full"}},
        {"record_errors": [{"reason": "NO_EMAIL", "record_count": 3}]},
        {"metrics": {"records_failed_count": 0}},
        {"metrics": {"records_by_namespace": {"email": 5}}},
        {"artifacts": [{"artifact_id": "batch-1", "downloadable": True}]},
    ],
    ids=str,
)
def test_news_of_a_job_change_its_etag(news: dict[str, Any]) -> None:
    changed = job()
    changed.MergeFrom(new(ExportJob, **news))
    assert etags.of(changed) != etags.of(job())


@pytest.mark.parametrize(
    "nothing_new",
    [
        {"name": "connections/main/exportJobs/g~1"},
        {"alias": "connections/main/exportJobs/g~1"},
        {"display_name": "x"},
        {"update_time": {"seconds": 1}},
        {"vendor_extras": {"fields": {"x": {}}}},
        {"metrics": {"run_duration": {"seconds": 1}, "vendor_metrics": {"elapsed_ms": 1.5}}},
        {"meiro": {"owner_user_id": "5"}},
        {"etag": "old"},
    ],
    ids=str,
)
def test_what_is_no_news_of_a_job_does_not(nothing_new: dict[str, Any]) -> None:
    changed = job()
    changed.MergeFrom(new(ExportJob, **nothing_new))
    assert etags.of(changed) == etags.of(job())


def test_another_sample_of_the_same_errors_is_no_news() -> None:
    made = [
        new(ExportJob, record_errors=[{"reason": "NO_EMAIL", "record_count": 3, "sample_message": sample}])
        for sample in ("row 1", "row 2")
    ]
    assert etags.of(made[0]) == etags.of(made[1])


def test_no_count_and_a_count_of_zero_are_not_the_same() -> None:
    assert etags.of(new(ExportJob, metrics={"records_failed_count": 0})) != etags.of(new(ExportJob, metrics={}))


def test_how_the_details_of_an_error_are_packed_does_not_matter() -> None:
    made = []
    for order in (1, -1):
        info, packed = ErrorInfo(reason="REJECTED_BY_VENDOR"), AnyMessage()
        for key in ["a", "b", "c", "d"][::order]:
            info.metadata[key] = key
        packed.Pack(info)
        made.append(new(ExportJob, error={"code": 3, "message": "no"}))
        made[-1].error.details.append(packed)
    assert etags.of(made[0]) == etags.of(made[1])


@given(data=st.data())
def test_any_job_has_an_etag(data: st.DataObject) -> None:
    made = data.draw(messages(ExportJob))
    copy = ExportJob()
    copy.ParseFromString(made.SerializeToString())
    assert etags.of(made) == etags.of(copy)
