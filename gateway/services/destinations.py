"""DestinationService: where a vendor puts audiences, and the subscriptions and deliveries of some vendors."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

import grpc

from adapters import calls, names
from adapters.base import Adapter
from adapters.errors import Aborted, AlreadyExists, NotFound
from audiencegateway.v1.destinations_pb2 import (
    CreateDestinationRequest,
    CreateSubscriptionRequest,
    DeleteDestinationRequest,
    DeleteSubscriptionRequest,
    Destination,
    DestinationView,
    GetDestinationRequest,
    GetSubscriptionRequest,
    ListDestinationsRequest,
    ListDestinationsResponse,
    ListSubscriptionsRequest,
    ListSubscriptionsResponse,
    QueryDeliveryMetricsRequest,
    QueryDeliveryMetricsResponse,
    Subscription,
    UndeleteDestinationRequest,
    UpdateDestinationRequest,
    UpdateSubscriptionRequest,
)
from audiencegateway.v1.destinations_pb2_grpc import DestinationServiceServicer
from gateway import etags, lists, updates, validation
from gateway.desk import Desk
from gateway.filtering import DESTINATION_FIELDS
from gateway.ledger import kept
from gateway.lists import Collection

T = TypeVar("T", Destination, Subscription)
Context = grpc.aio.ServicerContext[Any, Any]


class DestinationService(DestinationServiceServicer):
    """Answers from the vendor, each time anew."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def GetDestination(self, request: GetDestinationRequest, context: Context) -> Destination:
        adapter, (destination_id,) = self._desk.find(request.name, "Destination")
        full = request.view == DestinationView.DESTINATION_VIEW_FULL
        return _stamped(await adapter.get_destination(destination_id, full=full))

    async def ListDestinations(self, request: ListDestinationsRequest, context: Context) -> ListDestinationsResponse:
        page: Collection[Destination] = await lists.collect(
            self._desk, request, "destinations", DESTINATION_FIELDS, etags.stamp
        )
        return ListDestinationsResponse(
            destinations=page.items,
            next_page_token=page.next_page_token,
            unreachable=page.unreachable,
            skipped=page.skipped,
        )

    async def CreateDestination(self, request: CreateDestinationRequest, context: Context) -> Destination:
        adapter, _ = self._desk.find(request.parent, "Connection")
        validation.supported(request.destination, adapter.vendor, adapter.destination_fields)

        async def create(_: str) -> Destination:
            return _stamped(await adapter.create_destination(request.destination, validate_only=request.validate_only))

        wanted = kept.asked(request.destination)
        again = _destination_as_it_is(adapter)
        return await self._desk.once(request, request.parent, create, again, kind=Destination, wanted=wanted)

    async def UpdateDestination(self, request: UpdateDestinationRequest, context: Context) -> Destination:
        adapter, (destination_id,) = self._desk.find(request.destination.name, "Destination")
        validation.supported(request.destination, adapter.vendor, adapter.destination_fields, request.update_mask)
        edit = updates.plan(request.destination, request.update_mask, validate_only=request.validate_only)

        async def update(_: str) -> Destination:
            return _stamped(await adapter.update_destination(destination_id, edit))

        again = _destination_as_it_is(adapter)
        return await self._desk.once(request, request.destination.name, update, again, kind=Destination)

    async def DeleteDestination(self, request: DeleteDestinationRequest, context: Context) -> Destination:
        adapter, (destination_id,) = self._desk.find(request.name, "Destination")

        async def delete(_: str) -> Destination:
            try:
                present = _stamped(await adapter.get_destination(destination_id))
            except NotFound:
                if request.allow_missing or calls.current().repeated:
                    return Destination(name=request.name)
                raise
            _match(request.etag, present)
            return _stamped(
                await adapter.delete_destination(present, force=request.force, validate_only=request.validate_only)
            )

        return await self._desk.once(request, request.name, delete, kind=Destination)

    async def UndeleteDestination(self, request: UndeleteDestinationRequest, context: Context) -> Destination:
        adapter, (destination_id,) = self._desk.find(request.name, "Destination")

        async def undelete(_: str) -> Destination:
            try:
                return _stamped(await adapter.undelete_destination(destination_id, validate_only=request.validate_only))
            except AlreadyExists:
                if not calls.current().repeated:
                    raise
                return _stamped(await adapter.get_destination(destination_id))

        again = _destination_as_it_is(adapter)
        return await self._desk.once(request, request.name, undelete, again, kind=Destination)

    async def QueryDeliveryMetrics(
        self, request: QueryDeliveryMetricsRequest, context: Context
    ) -> QueryDeliveryMetricsResponse:
        adapter, (destination_id,) = self._desk.find(request.name, "Destination")
        return await adapter.query_delivery_metrics(destination_id, request)

    async def GetSubscription(self, request: GetSubscriptionRequest, context: Context) -> Subscription:
        adapter, (destination_id, subscription_id) = self._desk.find(request.name, "Subscription")
        return _stamped(await adapter.get_subscription(destination_id, subscription_id))

    async def ListSubscriptions(self, request: ListSubscriptionsRequest, context: Context) -> ListSubscriptionsResponse:
        adapter, (destination_id,) = self._desk.find(request.parent, "Destination")
        fetch = partial(adapter.list_subscriptions, destination_id)
        page = await lists.page(self._desk, request, fetch, adapter.subscriptions, finish=etags.stamp)
        return ListSubscriptionsResponse(subscriptions=page.items, next_page_token=page.next_page_token)

    async def CreateSubscription(self, request: CreateSubscriptionRequest, context: Context) -> Subscription:
        adapter, (destination_id,) = self._desk.find(request.parent, "Destination")
        wanted = request.subscription
        validation.supported(wanted, adapter.vendor, adapter.subscription_fields)

        async def create(_: str) -> Subscription:
            return _stamped(
                await adapter.create_subscription(destination_id, wanted, validate_only=request.validate_only)
            )

        again, asked = _subscription_as_it_is(adapter), kept.asked(wanted)
        return await self._desk.once(request, request.parent, create, again, kind=Subscription, wanted=asked)

    async def UpdateSubscription(self, request: UpdateSubscriptionRequest, context: Context) -> Subscription:
        adapter, (destination_id, subscription_id) = self._desk.find(request.subscription.name, "Subscription")
        validation.supported(request.subscription, adapter.vendor, adapter.subscription_fields, request.update_mask)
        edit = updates.plan(request.subscription, request.update_mask, validate_only=request.validate_only)

        async def update(_: str) -> Subscription:
            return _stamped(await adapter.update_subscription(destination_id, subscription_id, edit))

        again = _subscription_as_it_is(adapter)
        return await self._desk.once(request, request.subscription.name, update, again, kind=Subscription)

    async def DeleteSubscription(self, request: DeleteSubscriptionRequest, context: Context) -> Subscription:
        adapter, (destination_id, subscription_id) = self._desk.find(request.name, "Subscription")

        async def delete(_: str) -> Subscription:
            try:
                present = _stamped(await adapter.get_subscription(destination_id, subscription_id))
            except NotFound as error:
                # Not the destination: that one has to be there.
                missing = error.reason == names.NOT_FOUND_REASONS["Subscription"]
                if missing and (request.allow_missing or calls.current().repeated):
                    return Subscription(name=request.name)
                raise
            _match(request.etag, present)
            await adapter.delete_subscription(destination_id, subscription_id)
            return present

        return await self._desk.once(request, request.name, delete, kind=Subscription)


def _stamped(resource: T) -> T:
    etags.stamp(resource)
    return resource


def _match(etag: str, present: Destination | Subscription) -> None:
    if etag and etag != present.etag:
        raise Aborted(f"{present.name} changed since this etag was read", resource=present.name)


def _destination_as_it_is(adapter: Adapter[Any]) -> Callable[[Destination], Coroutine[Any, Any, Destination]]:
    """Return what reads a destination anew, and keeps what only the answer of an update says."""

    async def read(before: Destination) -> Destination:
        _, destination_id = names.parse(before.name, "Destination")
        destination = _stamped(await adapter.get_destination(destination_id))
        destination.unapplied_fields.extend(before.unapplied_fields)
        return destination

    return read


def _subscription_as_it_is(adapter: Adapter[Any]) -> Callable[[Subscription], Coroutine[Any, Any, Subscription]]:
    """Return what reads a subscription anew."""

    async def read(before: Subscription) -> Subscription:
        _, destination_id, subscription_id = names.parse(before.name, "Subscription")
        return _stamped(await adapter.get_subscription(destination_id, subscription_id))

    return read
