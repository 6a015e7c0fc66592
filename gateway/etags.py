"""Etags: weak hashes of what callers write or wait for, equal from Get, List and Update, and on every replica."""

from collections.abc import Callable, Iterable
from functools import cache
from hashlib import blake2b
from operator import attrgetter
from typing import Any

import msgspec
from google.protobuf.descriptor import Descriptor

from audiencegateway.v1.destinations_pb2 import Destination, Subscription
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway.annotations import PACKAGE, Field, fields

Tagged = Destination | Subscription | ExportJob
Read = Callable[[Any], object]
"""Reads something plain, and always in the same order, off a message. What is false counts as absent."""

JOB_FIELDS = {"state", "vendor_state", "error", "record_errors", "metrics", "artifacts"}
"""What is news of a job: the rest is what the caller asked for, or tells when."""
NO_NEWS = {"run_duration", "vendor_metrics", "sample_message"}
"""What moves below these while nothing happens."""

_encode = msgspec.msgpack.Encoder().encode


def of(resource: Tagged) -> str:
    """Return the etag of *resource*, whatever its own field says."""
    return f'W/"{blake2b(_encode(_reader(resource.DESCRIPTOR)(resource)), digest_size=8).hexdigest()}"'


def stamp(resource: Tagged) -> None:
    """Set the etag of *resource*."""
    resource.etag = of(resource)


@cache
def _reader(resource: Descriptor) -> Read:
    if resource is ExportJob.DESCRIPTOR:
        top = [field for field in fields(resource) if field.name in JOB_FIELDS]
        return _reading(top, lambda field: field.name not in NO_NEWS)
    return _reading(fields(resource), lambda field: field.writable)


def _reading(chosen: Iterable[Field], wanted: Callable[[Field], bool]) -> Read:
    # Numbered, and only what is there: a field that the contract gains leaves etags as they are.
    read = [field for field in chosen if wanted(field)]
    plain = [field for field in read if not (field.repeated or field.descriptor.has_presence)]
    numbers, get = [field.descriptor.number for field in plain], _all_of([field.name for field in plain])
    others = [(field.descriptor.number, _field(field, wanted)) for field in read if field not in plain]

    def reading(message: Any) -> list[tuple[int, object]]:  # noqa: ANN401 - any message of the type
        found = [pair for pair in zip(numbers, get(message), strict=True) if pair[1]]
        found += [(number, value) for number, read in others if (value := read(message))]
        return found

    return reading


def _all_of(names: list[str]) -> Callable[[Any], tuple[object, ...]]:
    """Return what reads all of these at once, a third of the time that one after another takes."""
    match names:
        case []:
            return lambda _: ()
        case [name]:
            get = attrgetter(name)
            return lambda message: (get(message),)
    return attrgetter(*names)


def _field(field: Field, wanted: Callable[[Field], bool]) -> Read:
    name, get, inside = field.name, attrgetter(field.name), _value(field.message, wanted)
    if field.map:
        return lambda message: sorted((key, inside(value)) for key, value in get(message).items())
    if field.repeated and field.message is None:
        return lambda message: list(get(message))
    if field.repeated:
        return lambda message: [inside(value) for value in get(message)]
    if field.message:
        return lambda message: inside(get(message)) if message.HasField(name) else None
    if field.descriptor.has_presence:
        return lambda message: (get(message),) if message.HasField(name) else None
    return get


def _value(descriptor: Descriptor | None, wanted: Callable[[Field], bool]) -> Read:
    if descriptor is None:
        return lambda value: value
    if descriptor.full_name.startswith(PACKAGE):
        return _reading(fields(descriptor), wanted)
    if descriptor.full_name == "google.rpc.Status":
        # Not its details: they are packed already, with their maps in no certain order.
        return lambda status: (status.code, status.message)
    return lambda message: message.SerializeToString(deterministic=True)
