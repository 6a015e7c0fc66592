"""The compiled contract as data: its files as `buf build` makes them, and ways to walk over them."""

import re
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

PROTOS = Path(__file__).parents[2] / "protos"
PACKAGE = "audiencegateway.v1"
READS = ("Get", "List", "Query", "Check", "Wait", "Watch", "Download")
"""First words of the methods that change nothing."""

Place = tuple[int, ...]
"""Where an element stands in its file, as in SourceCodeInfo: field numbers of descriptor.proto and indexes."""


class Element(NamedTuple):
    """Something that can carry a comment."""

    name: str
    """With its parents, without the package, for example `ExportJob.State.RUNNING`."""
    place: Place
    proto: Any


@dataclass(frozen=True)
class File:
    """One .proto file of ours."""

    proto: FileDescriptorProto

    @property
    def stem(self) -> str:
        """Its name without folder and extension."""
        return Path(self.proto.name).stem

    @property
    def comments(self) -> Mapping[Place, str]:
        """What stands right above each element."""
        return {
            tuple(location.path): location.leading_comments
            for location in self.proto.source_code_info.location
            if location.leading_comments.strip()
        }

    @property
    def lines(self) -> Mapping[Place, int]:
        """The line where each element begins, from 0."""
        return {tuple(location.path): location.span[0] for location in self.proto.source_code_info.location}

    def services(self) -> Iterator[tuple[Element, ServiceDescriptorProto]]:
        """Yield the services."""
        for index, service in enumerate(self.proto.service):
            yield Element(service.name, (6, index), service), service

    def methods(self) -> Iterator[tuple[Element, MethodDescriptorProto]]:
        """Yield the methods of all services."""
        for parent, service in self.services():
            for index, method in enumerate(service.method):
                yield Element(f"{service.name}.{method.name}", (*parent.place, 2, index), method), method

    def messages(self) -> Iterator[tuple[Element, DescriptorProto]]:
        """Yield the messages, nested ones after their parents; a map's entries are none."""
        for index, message in enumerate(self.proto.message_type):
            yield from _messages(message, message.name, (4, index))

    def fields(self) -> Iterator[tuple[Element, DescriptorProto, FieldDescriptorProto]]:
        """Yield the fields of all messages."""
        for parent, message in self.messages():
            for index, field in enumerate(message.field):
                yield Element(f"{parent.name}.{field.name}", (*parent.place, 2, index), field), message, field

    def oneofs(self) -> Iterator[Element]:
        """Yield the oneofs, not those that `optional` makes."""
        for parent, message in self.messages():
            real = {field.oneof_index for field in message.field if in_oneof(field)}
            for index in sorted(real):
                oneof = message.oneof_decl[index]
                yield Element(f"{parent.name}.{oneof.name}", (*parent.place, 8, index), oneof)

    def enums(self) -> Iterator[tuple[Element, EnumDescriptorProto]]:
        """Yield the enums, those of messages too."""
        for index, enum in enumerate(self.proto.enum_type):
            yield Element(enum.name, (5, index), enum), enum
        for parent, message in self.messages():
            for index, enum in enumerate(message.enum_type):
                yield Element(f"{parent.name}.{enum.name}", (*parent.place, 4, index), enum), enum

    def values(self) -> Iterator[Element]:
        """Yield the values of all enums."""
        for parent, enum in self.enums():
            for index, value in enumerate(enum.value):
                yield Element(f"{parent.name}.{value.name}", (*parent.place, 2, index), value)

    def elements(self) -> Iterator[Element]:
        """Yield all of it."""
        for pairs in (self.services(), self.methods(), self.messages(), self.enums()):
            yield from (element for element, _ in pairs)
        yield from (element for element, _, _ in self.fields())
        yield from self.oneofs()
        yield from self.values()


@dataclass(frozen=True)
class Contract:
    """All .proto files of ours, together."""

    files: tuple[File, ...]

    def file(self, stem: str) -> File:
        """Return the file of that name."""
        return next(file for file in self.files if file.stem == stem)

    def messages(self) -> Mapping[str, DescriptorProto]:
        """Return every message by its name without the package."""
        return {element.name: message for file in self.files for element, message in file.messages()}

    def methods(self) -> Mapping[str, MethodDescriptorProto]:
        """Return every method as `Service.Method`."""
        return {element.name: method for file in self.files for element, method in file.methods()}


def compiled() -> Contract:
    """Compile the .proto files with the project's own buf; without it there is nothing to compare with."""
    buf = Path(sysconfig.get_path("scripts")) / "buf"
    command = [str(buf), "build", "--path", "audiencegateway", "--as-file-descriptor-set", "--output", "-"]
    image = subprocess.run(command, cwd=PROTOS, capture_output=True, check=True).stdout
    return Contract(tuple(map(File, ours(FileDescriptorSet.FromString(image)))))


def ours(image: FileDescriptorSet) -> list[FileDescriptorProto]:
    """Return the files of our package."""
    return [file for file in image.file if file.package == PACKAGE]


def local(type_name: str) -> str:
    """Return a type's name without our package, for example `ExportJob.State`; others whole, without the first dot."""
    return type_name.removeprefix(f".{PACKAGE}.").removeprefix(".")


def in_oneof(field: FieldDescriptorProto) -> bool:
    """Tell whether a field is one of several, of which only one can be set."""
    return field.HasField("oneof_index") and not field.proto3_optional


def is_repeated(field: FieldDescriptorProto) -> bool:
    """Tell whether a field is a list or a map."""
    return field.label == FieldDescriptorProto.LABEL_REPEATED


def words(name: str) -> list[str]:
    """Split a name of any case into its words, in lower case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower().split("_")


def _messages(message: DescriptorProto, name: str, place: Place) -> Iterator[tuple[Element, DescriptorProto]]:
    if message.options.map_entry:
        return
    yield Element(name, place, message), message
    for index, nested in enumerate(message.nested_type):
        yield from _messages(nested, f"{name}.{nested.name}", (*place, 3, index))
