"""What the contract's annotations say of each field, read once per message type."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from google.api import field_behavior_pb2, field_info_pb2, resource_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

PACKAGE = "audiencegateway.v1."
STRUCT = "google.protobuf.Struct"


@dataclass(frozen=True, eq=False)
class Field:
    """One field of a message of the contract, with what its annotations say."""

    owner: Descriptor
    """The type of message that it is a field of."""
    descriptor: FieldDescriptor
    behaviors: frozenset[int]
    reference: str
    """The kind of resource that the field names, or ""."""
    child: str
    """The kind of resource whose parent the field names, or ""."""
    uuid4: bool
    etag: bool
    """A resource's own etag: written by callers, but no part of what the resource is."""

    @cached_property
    def name(self) -> str:
        """Its name in the contract."""
        return self.descriptor.name

    @cached_property
    def required(self) -> bool:
        """REQUIRED."""
        return field_behavior_pb2.REQUIRED in self.behaviors

    @cached_property
    def immutable(self) -> bool:
        """IMMUTABLE."""
        return field_behavior_pb2.IMMUTABLE in self.behaviors

    @cached_property
    def ignored(self) -> bool:
        """Never read from a request, whatever it holds (AIP-203)."""
        return not self.behaviors.isdisjoint({field_behavior_pb2.OUTPUT_ONLY, field_behavior_pb2.IDENTIFIER})

    @cached_property
    def writable(self) -> bool:
        """Part of what a caller writes."""
        return not self.ignored and not self.etag

    @cached_property
    def value(self) -> FieldDescriptor:
        """What describes one value: of a map, that of its members; else the field itself."""
        entry = self.descriptor.message_type
        return entry.fields_by_name["value"] if entry and entry.GetOptions().map_entry else self.descriptor

    @cached_property
    def message(self) -> Descriptor | None:
        """The type of one value, where that is a message."""
        return self.value.message_type

    @cached_property
    def repeated(self) -> bool:
        """A list or a map."""
        return self.descriptor.is_repeated

    @cached_property
    def map(self) -> bool:
        """A map."""
        return self.value is not self.descriptor

    @cached_property
    def ours(self) -> bool:
        """Holds messages of the contract, which may have annotations themselves."""
        return self.message is not None and not self.map and self.message.full_name.startswith(PACKAGE)

    @cached_property
    def struct(self) -> bool:
        """A single Struct."""
        return self.message is not None and not self.repeated and self.message.full_name == STRUCT

    @cached_property
    def arm(self) -> bool:
        """A member of a oneof: in a resource, what only one vendor has."""
        oneof = self.descriptor.containing_oneof
        return oneof is not None and len(oneof.fields) > 1

    def populated(self, message: Message) -> bool:
        """Tell whether the field holds anything in *message*. A plain scalar that is zero, false or empty does not."""
        if self.descriptor.has_presence:
            return message.HasField(self.name)
        return bool(getattr(message, self.name))


@cache
def fields(descriptor: Descriptor) -> tuple[Field, ...]:
    """Return the fields of a message type in the order of the contract."""
    return tuple(_fields(descriptor))


def _fields(descriptor: Descriptor) -> Iterator[Field]:
    resource = kind(descriptor)
    for field in descriptor.fields:
        extensions: Any = field.GetOptions().Extensions
        reference = extensions[resource_pb2.resource_reference]
        yield Field(
            owner=descriptor,
            descriptor=field,
            behaviors=frozenset(extensions[field_behavior_pb2.field_behavior]),
            reference=_last(reference.type),
            child=_last(reference.child_type),
            uuid4=extensions[field_info_pb2.field_info].format == field_info_pb2.FieldInfo.UUID4,
            etag=bool(resource) and field.name == "etag",
        )


def kind(descriptor: Descriptor) -> str:
    """Return the kind of resource that a message type is, for example `Destination`; "" if it is none."""
    options: Any = descriptor.GetOptions()
    return _last(options.Extensions[resource_pb2.resource].type)


def field_name(kind: str) -> str:
    """Return the name of the field that holds a resource of this kind in requests, for example `export_job`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower()


def _last(resource_type: str) -> str:
    return resource_type.rpartition("/")[2]
