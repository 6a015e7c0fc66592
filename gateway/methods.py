"""What every RPC is, read off the contract once: its messages, whether it writes, and whose connection it is about."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from audiencegateway.v1 import connections_pb2, destinations_pb2, export_jobs_pb2, members_pb2

FILES = (connections_pb2, destinations_pb2, export_jobs_pb2, members_pb2)
READS = ("Get", "List", "Query", "Check", "Wait", "Watch", "Download")
"""First words of the RPCs that change nothing."""
NAME_FIELDS = ("parent", "name", "destination", "subscription")
"""Where a request holds the name that it is about, itself or as `name` of the resource; the first that is there."""


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC."""

    path: str
    """`/package.Service/Method`, as on the wire."""
    name: str
    verb: str
    """The adapter's method of the same name, in snake_case."""
    writes: bool
    request: type[Message]
    about: Callable[[Message], str]
    """The resource name that a request is about, unchecked; empty where it is about none."""
    named: str
    """Where in the request, or in its first message of several, that name stands."""


def _about(request: Descriptor) -> Callable[[Message], str]:
    field = next((request.fields_by_name[name] for name in NAME_FIELDS if name in request.fields_by_name), None)
    if field is None:
        return lambda _: ""
    name: str = field.name
    if field.message_type is None:
        return lambda message: getattr(message, name)
    return lambda message: getattr(message, name).name


def _named(request: Descriptor) -> str:
    messages = [request, *(field.message_type for field in request.fields if field.message_type)]
    for message in messages:
        for name in NAME_FIELDS:
            if (field := message.fields_by_name.get(name)) is not None:
                return f"{name}.name" if field.message_type else name
    return ""


def _method(method: MethodDescriptor) -> Method:
    verb = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", method.name).lower()
    return Method(
        path=f"/{method.containing_service.full_name}/{method.name}",
        name=method.name,
        verb=verb,
        writes=not method.name.startswith(READS),
        request=GetMessageClass(method.input_type),
        about=_about(method.input_type),
        named=_named(method.input_type),
    )


METHODS: Mapping[str, Method] = {
    method.path: method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in map(_method, service.methods)
}
"""Every RPC by its path on the wire."""

SERVICES: Sequence[str] = tuple(
    service.full_name for file in FILES for service in file.DESCRIPTOR.services_by_name.values()
)
"""Full names of the services."""


def connection_id_of(name: str) -> str | None:
    """Return the connection that a resource name claims to be of; None where it claims none, or all (`-`)."""
    first, _, rest = name.partition("/")
    connection_id = rest.partition("/")[0]
    return connection_id if first == "connections" and connection_id not in {"", "-"} else None
