"""What every vendor's destinations keep of the contract."""

from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict

from audiencegateway.v1 import destinations_pb2 as pb
from gateway.ledger import kept

from .client import refused
from .conftest import Vendor

AWKWARD_SIZES = (1, 2, 3, 7, 50, 501)


async def _walk(vendor: Vendor, size: int, **request: Any) -> list[pb.Destination]:
    found: list[pb.Destination] = []
    token = ""
    for _ in range(200):
        response = await vendor.stubs.destinations.ListDestinations(
            pb.ListDestinationsRequest(parent=vendor.connection, page_size=size, page_token=token, **request)
        )
        assert len(response.destinations) <= size
        found += response.destinations
        token = response.next_page_token
        if not token:
            return found
    raise AssertionError("the list does not end")


@pytest.mark.parametrize("size", AWKWARD_SIZES)
async def test_pages_concatenate_to_the_whole(vendor: Vendor, size: int) -> None:
    vendor.can("list_destinations")
    names = [destination.name for destination in await _walk(vendor, size)]

    assert len(names) == len(set(names)) == vendor["destination_count"]


@pytest.mark.parametrize("size", [1, 50])
async def test_deleted_destinations_are_shown_when_asked_for(vendor: Vendor, size: int) -> None:
    vendor.can("list_destinations", "undelete_destination")
    found = await _walk(vendor, size, show_deleted=True)
    deleted = [destination for destination in found if destination.state == pb.Destination.DELETED]

    assert len(deleted) == vendor["deleted_destination_count"]
    assert len(found) == vendor["destination_count"] + vendor["deleted_destination_count"]


async def test_a_filter_selects_by_what_the_list_says(vendor: Vendor) -> None:
    vendor.can("list_destinations")
    every = await _walk(vendor, 50)
    disabled = await _walk(vendor, 2, filter="disabled = true")
    named = await _walk(vendor, 2, filter=f'display_name = "{every[0].display_name}"')

    assert [one.name for one in disabled] == [one.name for one in every if one.disabled]
    assert every[0].name in [one.name for one in named]
    assert {one.display_name for one in named} == {every[0].display_name}


async def test_a_foreign_page_token_is_refused(vendor: Vendor) -> None:
    vendor.can("list_destinations")
    first = await vendor.stubs.destinations.ListDestinations(
        pb.ListDestinationsRequest(parent=vendor.connection, page_size=1)
    )
    changed = pb.ListDestinationsRequest(
        parent=vendor.connection, page_token=first.next_page_token, filter="disabled = true"
    )
    forged = pb.ListDestinationsRequest(parent=vendor.connection, page_token=first.next_page_token[:-3] + "AAA")

    for request in (changed, forged):
        answer = await refused(vendor.stubs.destinations.ListDestinations(request))
        assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN")


async def test_get_list_and_either_view_agree_on_the_etag(vendor: Vendor) -> None:
    vendor.can("list_destinations", "get_destination")
    listed = {one.name: one for one in await _walk(vendor, 50)}
    for view in (pb.DESTINATION_VIEW_BASIC, pb.DESTINATION_VIEW_FULL):
        got = await vendor.stubs.destinations.GetDestination(
            pb.GetDestinationRequest(name=vendor.destination(), view=view)
        )
        assert got.etag
        assert got.etag == listed[got.name].etag


async def test_an_unknown_destination_is_not_found_by_name(vendor: Vendor) -> None:
    vendor.can("get_destination")
    name = vendor.destination("unknown_destination_id")
    answer = await refused(vendor.stubs.destinations.GetDestination(pb.GetDestinationRequest(name=name)))

    assert (answer.code, answer.reason, answer.resource) == (
        grpc.StatusCode.NOT_FOUND,
        "DESTINATION_NOT_FOUND",
        name,
    )


@pytest.mark.parametrize(
    "destination_id", ["", "..", "../x", "%2e%2e", "a%2Fb", "a/b", "a b", "-", "x" * 10_000, "\x00", "é", "1\n"]
)
async def test_a_hostile_name_is_refused_and_nothing_is_sent(vendor: Vendor, destination_id: str) -> None:
    vendor.can("get_destination")
    name = f"{vendor.connection}/destinations/{destination_id}"
    answer = await refused(vendor.stubs.destinations.GetDestination(pb.GetDestinationRequest(name=name)))

    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_RESOURCE_NAME")
    assert not vendor.requests()


async def test_an_update_changes_what_the_mask_says_and_nothing_else(vendor: Vendor) -> None:
    vendor.can("get_destination", "update_destination")
    before = await vendor.stubs.destinations.GetDestination(pb.GetDestinationRequest(name=vendor.destination()))
    wanted = pb.Destination(name=vendor.destination(), display_name="Renamed by a test", disabled=not before.disabled)
    after = await vendor.stubs.destinations.UpdateDestination(
        pb.UpdateDestinationRequest(destination=wanted, update_mask=FieldMask(paths=["display_name"]))
    )
    again = await vendor.stubs.destinations.GetDestination(pb.GetDestinationRequest(name=vendor.destination()))

    assert (after.display_name, after.disabled) == ("Renamed by a test", before.disabled)
    assert after.etag == again.etag != before.etag


async def test_what_an_update_writes_is_carried_and_read_back_whole(vendor: Vendor) -> None:
    vendor.can("update_destination")
    patch = vendor.message("destination_patch", pb.Destination())
    patch.name = vendor.destination()
    await vendor.stubs.destinations.UpdateDestination(pb.UpdateDestinationRequest(destination=patch))
    got = await vendor.stubs.destinations.GetDestination(pb.GetDestinationRequest(name=patch.name))
    sent, read = (MessageToDict(message, preserving_proto_field_name=True) for message in (patch, got))

    assert _paths(sent) - {"name"} <= vendor.adapter.destination_fields
    assert lacking(sent, read) == []


def _paths(sent: dict[str, Any]) -> set[str]:
    """Return the paths of what was sent, those of a vendor's arm below it."""
    arms = {field.name for field in pb.Destination.DESCRIPTOR.oneofs_by_name["vendor_config"].fields}
    below = {f"{arm}.{key}" for arm in arms - {"custom"} & sent.keys() for key in sent[arm]}
    return below | {key for key in sent if key not in arms or key == "custom"}


def lacking(sent: Any, read: Any, at: str = "") -> list[str]:
    """Return where *read* is not what was sent; objects may hold more, since they are merged into what is there."""
    if isinstance(sent, dict) and isinstance(read, dict):
        return [path for key in sent for path in lacking(sent[key], read.get(key), f"{at}.{key}")]
    return [] if sent == read else [at]


async def test_an_update_that_changes_nothing_sends_nothing(vendor: Vendor) -> None:
    vendor.can("get_destination", "update_destination")
    present = await vendor.stubs.destinations.GetDestination(pb.GetDestinationRequest(name=vendor.destination()))
    await vendor.stubs.destinations.UpdateDestination(
        pb.UpdateDestinationRequest(destination=present, update_mask=FieldMask(paths=["*"]))
    )

    assert not vendor.requests("PATCH", "PUT", "POST")


async def test_validate_only_answers_and_changes_nothing(vendor: Vendor) -> None:
    vendor.can("get_destination", "update_destination", "delete_destination")
    before = await vendor.stubs.destinations.GetDestination(pb.GetDestinationRequest(name=vendor.destination()))
    wanted = pb.Destination(name=vendor.destination(), display_name="Never")
    shown = await vendor.stubs.destinations.UpdateDestination(
        pb.UpdateDestinationRequest(destination=wanted, validate_only=True)
    )
    await vendor.stubs.destinations.DeleteDestination(
        pb.DeleteDestinationRequest(name=vendor.destination(), validate_only=True)
    )
    after = await vendor.stubs.destinations.GetDestination(pb.GetDestinationRequest(name=vendor.destination()))

    assert shown.display_name == "Never"
    assert after == before
    assert not vendor.requests("PATCH", "PUT", "DELETE")


async def test_a_stale_etag_stops_an_update_and_a_delete(vendor: Vendor) -> None:
    vendor.can("update_destination", "delete_destination")
    stale = 'W/"0000000000000000"'
    wanted = pb.Destination(name=vendor.destination(), display_name="Late", etag=stale)
    answers = [
        await refused(vendor.stubs.destinations.UpdateDestination(pb.UpdateDestinationRequest(destination=wanted))),
        await refused(
            vendor.stubs.destinations.DeleteDestination(
                pb.DeleteDestinationRequest(name=vendor.destination(), etag=stale)
            )
        ),
    ]

    assert {(answer.code, answer.reason) for answer in answers} == {(grpc.StatusCode.ABORTED, "ETAG_MISMATCH")}
    assert not vendor.requests("PATCH", "PUT", "DELETE")


async def test_a_deleted_destination_says_so_and_is_gone(vendor: Vendor) -> None:
    vendor.can("get_destination", "delete_destination")
    request = pb.DeleteDestinationRequest(name=vendor.destination(), force=True)
    deleted = await vendor.stubs.destinations.DeleteDestination(request)
    gone = await refused(vendor.stubs.destinations.GetDestination(pb.GetDestinationRequest(name=vendor.destination())))
    second = await refused(vendor.stubs.destinations.DeleteDestination(request))
    request.allow_missing = True
    allowed = await vendor.stubs.destinations.DeleteDestination(request)

    assert deleted.state == pb.Destination.DELETED
    assert gone.reason == second.reason == "DESTINATION_NOT_FOUND"
    assert allowed == pb.Destination(name=vendor.destination(), etag=allowed.etag)


async def test_a_deleted_destination_comes_back_as_it_was(vendor: Vendor) -> None:
    vendor.can("delete_destination", "undelete_destination")
    before = await vendor.stubs.destinations.GetDestination(pb.GetDestinationRequest(name=vendor.destination()))
    await vendor.stubs.destinations.DeleteDestination(pb.DeleteDestinationRequest(name=vendor.destination()))
    back = await vendor.stubs.destinations.UndeleteDestination(pb.UndeleteDestinationRequest(name=vendor.destination()))
    live = await refused(
        vendor.stubs.destinations.UndeleteDestination(pb.UndeleteDestinationRequest(name=vendor.destination()))
    )

    assert back.state == before.state
    assert back.display_name == before.display_name
    assert (live.code, live.reason) == (grpc.StatusCode.ALREADY_EXISTS, "DESTINATION_NOT_DELETED")


async def test_a_created_destination_is_found_and_its_request_id_makes_it_once(vendor: Vendor) -> None:
    vendor.can("create_destination", "get_destination")
    request = pb.CreateDestinationRequest(
        parent=vendor.connection,
        destination=vendor.message("destination", pb.Destination()),
        request_id=str(uuid4()),
    )
    created = await vendor.stubs.destinations.CreateDestination(request)
    again = await vendor.stubs.destinations.CreateDestination(request)
    got = await vendor.stubs.destinations.GetDestination(pb.GetDestinationRequest(name=created.name))

    assert created == again
    assert got.etag == created.etag
    assert got.display_name == request.destination.display_name


async def test_a_creation_that_is_repeated_answers_with_what_is_there_now(vendor: Vendor) -> None:
    vendor.can("create_destination", "update_destination", "delete_destination")
    destination = vendor.message("destination", pb.Destination())
    request = pb.CreateDestinationRequest(parent=vendor.connection, destination=destination, request_id=str(uuid4()))
    created = await vendor.stubs.destinations.CreateDestination(request)
    renamed = pb.Destination(name=created.name, display_name="Renamed since")
    await vendor.stubs.destinations.UpdateDestination(pb.UpdateDestinationRequest(destination=renamed))
    again = await vendor.stubs.destinations.CreateDestination(request)
    await vendor.stubs.destinations.DeleteDestination(pb.DeleteDestinationRequest(name=created.name, force=True))
    gone = await vendor.stubs.destinations.CreateDestination(request)

    assert (again.name, again.display_name) == (created.name, "Renamed since")
    assert gone == pb.Destination.FromString(kept.result(created))


async def test_the_arm_of_another_vendor_is_refused(vendor: Vendor) -> None:
    vendor.can("update_destination")
    arms = [field.name for field in pb.Destination.DESCRIPTOR.oneofs_by_name["vendor_config"].fields]
    own = vendor.id if vendor.id in arms else "custom"
    for arm in arms:
        if arm == own:
            continue
        wanted = pb.Destination(name=vendor.destination())
        filled = getattr(wanted, arm)
        filled.SetInParent()
        for field in filled.DESCRIPTOR.fields:
            if field.type == field.TYPE_STRING and not field.is_repeated:
                setattr(filled, field.name, "x")
        request = pb.UpdateDestinationRequest(destination=wanted, update_mask=FieldMask(paths=[arm]))
        answer = await refused(vendor.stubs.destinations.UpdateDestination(request))
        assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VENDOR_MISMATCH"), arm
    assert not vendor.requests("PATCH", "PUT")


async def test_output_only_fields_are_ignored_on_input(vendor: Vendor) -> None:
    vendor.can("get_destination", "update_destination")
    wanted = pb.Destination(name=vendor.destination(), state=pb.Destination.DELETED, running_export_job="rubbish")
    wanted.create_time.seconds = 1
    request = pb.UpdateDestinationRequest(destination=wanted, update_mask=FieldMask(paths=["state", "create_time"]))
    after = await vendor.stubs.destinations.UpdateDestination(request)

    assert after.state != pb.Destination.DELETED
    assert not vendor.requests("PATCH", "PUT")


async def test_an_unknown_mask_path_is_named(vendor: Vendor) -> None:
    vendor.can("update_destination")
    request = pb.UpdateDestinationRequest(
        destination=pb.Destination(name=vendor.destination()), update_mask=FieldMask(paths=["colour"])
    )
    answer = await refused(vendor.stubs.destinations.UpdateDestination(request))

    assert (answer.reason, answer.metadata["path"]) == ("INVALID_UPDATE_MASK", "colour")
    assert not vendor.requests()


async def test_no_seeded_secret_shows_in_any_view(vendor: Vendor) -> None:
    vendor.can("list_destinations")
    canaries = vendor["secrets"]
    shown = str(await _walk(vendor, 50, view=pb.DESTINATION_VIEW_FULL))

    assert [canary for canary in canaries if canary in shown] == []
