"""What every vendor's subscriptions and delivery metrics keep of the contract."""

import math
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict

from audiencegateway.v1 import destinations_pb2 as pb

from .client import refused
from .conftest import Vendor
from .test_destinations import lacking

WRITES = ("POST", "PUT", "PATCH", "DELETE")


def _name(vendor: Vendor, key: str = "subscription_id") -> str:
    return f"{vendor.destination()}/subscriptions/{vendor[key]}"


async def _get(vendor: Vendor, name: str = "") -> pb.Subscription:
    request = pb.GetSubscriptionRequest(name=name or _name(vendor))
    return await vendor.stubs.destinations.GetSubscription(request)  # type: ignore[no-any-return]  # stubs are Any


async def _walk(vendor: Vendor, size: int) -> list[pb.Subscription]:
    found: list[pb.Subscription] = []
    request = pb.ListSubscriptionsRequest(parent=vendor.destination(), page_size=size)
    for _ in range(100):
        response = await vendor.stubs.destinations.ListSubscriptions(request)
        assert len(response.subscriptions) <= size
        found += response.subscriptions
        request.page_token = response.next_page_token
        if not request.page_token:
            return found
    raise AssertionError("the list does not end")


def _create(vendor: Vendor, **changes: Any) -> pb.CreateSubscriptionRequest:
    subscription = vendor.message("subscription", pb.Subscription())
    return pb.CreateSubscriptionRequest(parent=vendor.destination(), subscription=subscription, **changes)


def _patch(vendor: Vendor) -> pb.Subscription:
    patch: pb.Subscription = vendor.message("subscription_patch", pb.Subscription())
    patch.name = _name(vendor)
    return patch


# Reading.


@pytest.mark.parametrize("size", [1, 2, 500])
async def test_pages_concatenate_to_the_whole(vendor: Vendor, size: int) -> None:
    vendor.can("list_subscriptions")
    names = [subscription.name for subscription in await _walk(vendor, size)]
    whole = [subscription.name for subscription in await _walk(vendor, 50)]

    assert names == whole
    assert len(names) == len(set(names)) > 1
    assert _name(vendor) in names


async def test_get_and_list_agree(vendor: Vendor) -> None:
    vendor.can("list_subscriptions", "get_subscription")
    for listed in await _walk(vendor, 50):
        got = await _get(vendor, listed.name)
        assert got.etag
        assert got == listed


@pytest.mark.parametrize("key", ["unknown_subscription_id", "unknown_destination_id"])
async def test_what_is_not_there_is_not_found_by_its_own_name(vendor: Vendor, key: str) -> None:
    vendor.can("get_subscription")
    parent = vendor.destination("unknown_destination_id" if key == "unknown_destination_id" else "destination_id")
    name = f"{parent}/subscriptions/{vendor['unknown_subscription_id']}"
    answer = await refused(_get(vendor, name))

    assert answer.code is grpc.StatusCode.NOT_FOUND
    assert (answer.reason, answer.resource) in {
        "unknown_subscription_id": [("SUBSCRIPTION_NOT_FOUND", name)],
        "unknown_destination_id": [("DESTINATION_NOT_FOUND", parent), ("SUBSCRIPTION_NOT_FOUND", name)],
    }[key]


async def test_no_secret_is_shown(vendor: Vendor) -> None:
    vendor.can("list_subscriptions")
    shown = "".join(str(subscription) for subscription in await _walk(vendor, 50))

    assert [secret for secret in vendor["secrets"] if secret in shown] == []


# Writing.


async def test_a_new_one_is_as_it_was_asked_for_and_listed(vendor: Vendor) -> None:
    vendor.can("create_subscription", "get_subscription", "list_subscriptions")
    request = _create(vendor)
    created = await vendor.stubs.destinations.CreateSubscription(request)
    asked, got = (
        MessageToDict(message, preserving_proto_field_name=True)
        for message in (request.subscription, await _get(vendor, created.name))
    )

    assert created.name.startswith(f"{vendor.destination()}/subscriptions/")
    assert lacking(asked, got) == []
    assert created in await _walk(vendor, 50)


async def test_it_is_made_once_for_its_request_id(vendor: Vendor) -> None:
    vendor.can("create_subscription")
    request = _create(vendor, request_id=str(uuid4()))
    first = await vendor.stubs.destinations.CreateSubscription(request)
    second = await vendor.stubs.destinations.CreateSubscription(request)
    request.subscription.display_name += ", another"
    reused = await refused(vendor.stubs.destinations.CreateSubscription(request))

    assert first == second
    assert reused.reason == "REQUEST_ID_REUSED"
    assert len(vendor.requests("POST")) == 1


async def test_an_update_writes_what_it_says_and_reads_it_back(vendor: Vendor) -> None:
    vendor.can("update_subscription", "get_subscription")
    before, patch = await _get(vendor), _patch(vendor)
    after = await vendor.stubs.destinations.UpdateSubscription(pb.UpdateSubscriptionRequest(subscription=patch))
    got = await _get(vendor)
    sent, read = (MessageToDict(message, preserving_proto_field_name=True) for message in (patch, got))

    assert lacking(sent, read) == []
    assert after.etag == got.etag != before.etag


async def test_a_mask_keeps_the_rest_as_it_was(vendor: Vendor) -> None:
    vendor.can("update_subscription", "get_subscription")
    expected = await _get(vendor)
    request = pb.UpdateSubscriptionRequest(subscription=_patch(vendor), update_mask=FieldMask(paths=["display_name"]))
    await vendor.stubs.destinations.UpdateSubscription(request)
    got = await _get(vendor)
    expected.display_name = request.subscription.display_name
    expected.etag = got.etag

    assert got == expected


async def test_an_update_that_changes_nothing_sends_nothing(vendor: Vendor) -> None:
    vendor.can("update_subscription", "get_subscription")
    present = await _get(vendor)
    request = pb.UpdateSubscriptionRequest(subscription=present, update_mask=FieldMask(paths=["*"]))
    await vendor.stubs.destinations.UpdateSubscription(request)

    assert not vendor.requests(*WRITES)


async def test_validate_only_answers_and_changes_nothing(vendor: Vendor) -> None:
    vendor.can("create_subscription", "update_subscription", "list_subscriptions")
    before, stubs = await _walk(vendor, 50), vendor.stubs.destinations
    planned = await stubs.CreateSubscription(_create(vendor, validate_only=True))
    shown = await stubs.UpdateSubscription(
        pb.UpdateSubscriptionRequest(subscription=_patch(vendor), validate_only=True)
    )

    assert (planned.name, planned.display_name) == ("", vendor["subscription"]["displayName"])
    assert shown.display_name == vendor["subscription_patch"]["displayName"]
    assert await _walk(vendor, 50) == before
    assert not vendor.requests(*WRITES)


async def test_a_stale_etag_stops_an_update_and_a_delete(vendor: Vendor) -> None:
    vendor.can("update_subscription", "delete_subscription")
    patch, stubs = _patch(vendor), vendor.stubs.destinations
    patch.etag = stale = 'W/"0000000000000000"'
    answers = [
        await refused(stubs.UpdateSubscription(pb.UpdateSubscriptionRequest(subscription=patch))),
        await refused(stubs.DeleteSubscription(pb.DeleteSubscriptionRequest(name=_name(vendor), etag=stale))),
    ]

    assert {(answer.code, answer.reason) for answer in answers} == {(grpc.StatusCode.ABORTED, "ETAG_MISMATCH")}
    assert not vendor.requests(*WRITES)


async def test_a_deleted_one_is_gone_and_its_neighbours_stay(vendor: Vendor) -> None:
    vendor.can("delete_subscription", "get_subscription", "list_subscriptions")
    before = await _walk(vendor, 50)
    await vendor.stubs.destinations.DeleteSubscription(pb.DeleteSubscriptionRequest(name=_name(vendor)))
    gone = await refused(_get(vendor))

    assert (gone.code, gone.reason) == (grpc.StatusCode.NOT_FOUND, "SUBSCRIPTION_NOT_FOUND")
    assert await _walk(vendor, 50) == [each for each in before if each.name != _name(vendor)]


# Delivery metrics.


async def test_metrics_are_totals_over_the_window_that_is_told(vendor: Vendor) -> None:
    vendor.can("query_delivery_metrics")
    request = vendor.message("metrics", pb.QueryDeliveryMetricsRequest(name=vendor.destination()))
    answer = await vendor.stubs.destinations.QueryDeliveryMetrics(request)
    names = [metric.metric for metric in answer.metrics]

    assert answer.granularity == request.granularity
    assert answer.interval.start_time.ToNanoseconds() < answer.interval.end_time.ToNanoseconds()
    assert len(names) == len(set(names)) > 0
    assert all(math.isfinite(metric.total) and metric.total >= 0 for metric in answer.metrics)


async def test_a_window_that_is_given_is_the_one_that_is_asked_for(vendor: Vendor) -> None:
    vendor.can("query_delivery_metrics")
    request = vendor.message("metrics", pb.QueryDeliveryMetricsRequest(name=vendor.destination()))
    whole = await vendor.stubs.destinations.QueryDeliveryMetrics(request)
    request.interval.CopyFrom(whole.interval)
    request.interval.start_time.seconds += 3600
    part = await vendor.stubs.destinations.QueryDeliveryMetrics(request)

    assert part.interval == request.interval
    assert sum(metric.total for metric in part.metrics) <= sum(metric.total for metric in whole.metrics)


async def test_metrics_of_an_unknown_destination_are_not_found(vendor: Vendor) -> None:
    vendor.can("query_delivery_metrics")
    name = vendor.destination("unknown_destination_id")
    request = vendor.message("metrics", pb.QueryDeliveryMetricsRequest(name=name))
    answer = await refused(vendor.stubs.destinations.QueryDeliveryMetrics(request))

    assert (answer.code, answer.reason, answer.resource) == (grpc.StatusCode.NOT_FOUND, "DESTINATION_NOT_FOUND", name)
