"""The suite's own parameters: without them its tests would be skipped, and a vendor pass that was never tried."""

import re
from pathlib import Path

import pytest

from .conftest import Vendor

NEEDED = {
    "list_destinations": {"destination_count", "secrets"},
    "get_destination": {"destination_id", "unknown_destination_id"},
    "create_destination": {"destination"},
    "update_destination": {"destination_id", "destination_patch"},
    "delete_destination": {"destination_id"},
    "undelete_destination": {"destination_id", "deleted_destination_count"},
    "list_export_jobs": {"many_export_jobs_filter", "many_export_job_count"},
    "get_export_job": {"jobs", "unknown_job_id"},
    "create_export_job": {"export_job", "destination_id", "unknown_destination_id"},
    "cancel_export_job": {"jobs"},
    "download_export_job": {"download_job_id", "undownloadable_job_id"},
    "list_export_job_log_entries": {"log_job_id"},
    "get_subscription": {"subscription_id", "unknown_subscription_id", "unknown_destination_id"},
    "list_subscriptions": {"subscription_id"},
    "create_subscription": {"subscription"},
    "update_subscription": {"subscription_patch"},
    "delete_subscription": {"subscription_id"},
    "query_delivery_metrics": {"metrics"},
    "upload_audience_members": {"member_destination_id", "members"},
    "list_export_job_revisions": {"revision_job_id", "revision_id"},
}
README = Path(__file__).with_name("README.md")


def test_a_vendor_says_what_the_tests_of_its_verbs_need(vendor: Vendor) -> None:
    needed = {key for verb in vendor.adapter.verbs() for key in NEEDED.get(verb, ())}

    assert needed <= vendor.simulator.suite.keys()


def test_a_vendor_says_nothing_that_is_not_explained(vendor: Vendor) -> None:
    rows = re.findall(r"^\| (`.*?) \|", README.read_text(), re.MULTILINE)
    explained = {key for row in rows for key in re.findall(r"`(\w+)`", row)}

    assert vendor.simulator.suite.keys() <= explained


@pytest.mark.parametrize("state", ["SUCCEEDED", "UNRECOGNIZED"])
def test_a_vendor_has_a_job_that_is(vendor: Vendor, state: str) -> None:
    vendor.can("get_export_job")

    assert state in vendor["jobs"]
