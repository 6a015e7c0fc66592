"""Updates by mask and merge-patch: what a request comes to, once the present resource is known."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value

from adapters import calls
from adapters.base import Change, Edit, M
from adapters.errors import Aborted
from gateway import etags
from gateway.annotations import Field, field_name, fields
from gateway.findings import Finding, finding, keyed, refusal, too_much

MASK = "********"
"""What a secret inside a Struct comes back as; on input it keeps what is there."""
MAX_PATHS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """A field that an update writes as a whole, or a Struct, which is merged into what is there."""

    field: Field
    parents: tuple[str, ...]
    """The messages above it, outermost first."""
    arm: str
    """The vendor arm that it is or is in; "" if every vendor has it."""
    immutable: bool

    @property
    def path(self) -> str:
        """Its path in a mask."""
        return ".".join((*self.parents, self.field.name))

    def holder(self, resource: Message) -> Any:  # noqa: ANN401 - one of many messages
        """Return the message that it is a field of; an empty one where that is not set."""
        for name in self.parents:
            resource = getattr(resource, name)
        return resource

    def populated(self, resource: Message) -> bool:
        """Tell whether it holds anything in *resource*."""
        return self.field.populated(self.holder(resource))

    def get(self, resource: Message) -> Any:  # noqa: ANN401 - what it is depends on the field
        """Return its value."""
        return getattr(self.holder(resource), self.field.name)

    def value(self, resource: Message) -> object:
        """Return its value in a form that can be compared; None where it holds nothing."""
        value = self.get(resource)
        if self.field.map:
            return dict(value) or None
        if self.field.repeated:
            return list(value) or None
        return value if self.populated(resource) else None

    def copy(self, source: Message, target: Message) -> None:
        """Make it in *target* what it is in *source*."""
        there, name = self.holder(target), self.field.name
        there.ClearField(name)
        if not self.populated(source):
            return
        value = self.get(source)
        if self.field.repeated or self.field.message:
            getattr(there, name).MergeFrom(value)
        else:
            setattr(there, name, value)

    def cut(self, resource: Message) -> tuple[str, ...]:
        """Return the path of the outermost message above it that *resource* lacks; an arm is always there."""
        for depth, name in enumerate(self.parents, 1):
            if name != self.arm and not resource.HasField(name):
                return self.parents[:depth]
            resource = getattr(resource, name)
        return ()


@cache
def paths(descriptor: Descriptor) -> Mapping[str, tuple[Leaf, ...]]:
    """Return every path that a mask may name, with what it writes: nothing where the field is ignored on input."""
    legal: dict[str, tuple[Leaf, ...]] = {}
    legal["*"] = tuple(_enter(legal, descriptor, (), "", immutable=False))
    return legal


def _enter(
    legal: dict[str, tuple[Leaf, ...]], descriptor: Descriptor, parents: tuple[str, ...], arm: str, *, immutable: bool
) -> Iterator[Leaf]:
    for field in fields(descriptor):
        leaf = Leaf(field, parents, arm or (field.name if field.arm else ""), immutable or field.immutable)
        leaves: tuple[Leaf, ...] = (leaf,)
        if not field.writable:
            leaves = ()
        elif field.message and field.ours and not field.repeated:
            below = (*parents, field.name)
            leaves = tuple(_enter(legal, field.message, below, leaf.arm, immutable=leaf.immutable))
        legal[leaf.path] = leaves
        yield from leaves


def arm_of(resource: Message) -> str:
    """Return the vendor arm that is set in *resource*, or ""."""
    return next((field.name for field in fields(resource.DESCRIPTOR) if field.arm and field.populated(resource)), "")


def faults(resource: Message, update_mask: FieldMask) -> list[Finding]:
    """Return what is wrong with an update, as far as it shows without the present resource."""
    if len(update_mask.paths) > MAX_PATHS:
        return [too_much("update_mask", len(update_mask.paths), MAX_PATHS, "paths")]
    legal, kind = paths(resource.DESCRIPTOR), resource.DESCRIPTOR.name
    unknown = [path for path in update_mask.paths if path not in legal]
    found = [
        finding("update_mask", f"{path[:128]!a} is no field of {kind}", "INVALID_UPDATE_MASK", path=path[:128])
        for path in unknown
    ]
    known = [path for path in update_mask.paths if path in legal]
    return found + _cleared(resource, _meant(resource, known, arm_of(resource)))


def plan(resource: M, update_mask: FieldMask, *, validate_only: bool = False) -> Edit[M]:
    """Return what turns the present resource into the change that a request asks for.

    Args:
        resource: As in the request; its etag, where there is one, must be that of the present resource.
        update_mask: Without paths: the fields that are populated in *resource*. `*`: all that its vendor has.
        validate_only: Settle every change, so that nothing is sent.

    Raises:
        InvalidRequest: INVALID_UPDATE_MASK; INVALID_FIELD, where a REQUIRED field would be cleared.
    """
    if found := faults(resource, update_mask):
        raise refusal(found)
    mask = tuple(update_mask.paths) or tuple(
        leaf.path for leaf in paths(resource.DESCRIPTOR)["*"] if leaf.populated(resource)
    )
    return partial(_edit, resource, mask, validate_only)


def _edit(resource: M, mask: Sequence[str], validate_only: bool, current: M) -> Change[M]:  # noqa: FBT001 - see plan
    stale = bool(resource.etag) and resource.etag != etags.of(current)
    if stale and not calls.current().repeated:
        raise _changed(current)
    arm, at = arm_of(current) or arm_of(resource), field_name(current.DESCRIPTOR.name)
    meant: dict[Leaf, tuple[str, ...]] = _meant(resource, mask, arm)
    found = _cleared(resource, meant)
    foreign = {arm_of(resource), *(leaf.arm for leaf in meant)} - {"", arm} if arm else set()
    found += [mismatch(f"{at}.{name}", expected=arm, actual=name) for name in sorted(foreign)]
    meant = {leaf: cut for leaf, cut in meant.items() if leaf.arm not in foreign}
    merged = type(current)()
    merged.CopyFrom(current)
    for leaf, cut in meant.items():
        if cut:
            _clear(merged, cut)
        elif leaf.field.struct:
            after = Struct()
            after.CopyFrom(leaf.get(current))
            patch(after, leaf.get(resource), f"{at}.{leaf.path}", found)
            if after != leaf.get(current):
                leaf.get(merged).CopyFrom(after)
        elif leaf.value(resource) != leaf.value(current):
            leaf.copy(resource, merged)
    differing = [leaf for leaf in meant if leaf.value(merged) != leaf.value(current)]
    told = {violation.field for violation, _ in found}
    found += [
        finding(f"{at}.{leaf.path}", "can't be changed any more", "IMMUTABLE_FIELD", field=leaf.path)
        for leaf in differing
        if leaf.immutable and f"{at}.{leaf.path}" not in told
    ]
    if stale and (differing or found):
        # What a repeated call asks for and finds is its own doing, whatever the etag says.
        raise _changed(current)
    if found:
        raise refusal(found)
    written = frozenset(leaf.path for leaf in differing)
    return Change(current=current, merged=merged, paths=written, settled=validate_only or not written)


def _changed(current: M) -> Aborted:
    return Aborted("the resource changed since this etag was read", resource=current.name)


def _meant(resource: Message, mask: Sequence[str], arm: str) -> dict[Leaf, tuple[str, ...]]:
    """Return what the paths of *mask* write, each with the message above it that the update takes away, if any."""
    legal = paths(resource.DESCRIPTOR)
    meant: dict[Leaf, tuple[str, ...]] = {}
    for path in mask:
        for leaf in legal[path]:
            if path == "*" and leaf.arm not in {"", arm}:
                continue
            cut = () if path == leaf.path else leaf.cut(resource)
            if leaf not in meant or not cut:
                meant[leaf] = cut
    return meant


def _cleared(resource: Message, meant: Mapping[Leaf, tuple[str, ...]]) -> list[Finding]:
    at = field_name(resource.DESCRIPTOR.name)
    return [
        finding(f"{at}.{leaf.path}", "is required and may not be cleared")
        for leaf, cut in meant.items()
        if leaf.field.required and not cut and not leaf.populated(resource)
    ]


def _clear(resource: Any, path: Sequence[str]) -> None:  # noqa: ANN401 - a message, whose fields no type knows
    for name in path[:-1]:
        resource = getattr(resource, name)
    resource.ClearField(path[-1])


def mismatch(where: str, *, expected: str, actual: str) -> Finding:
    """Return what is wrong with the arm of another vendor than the connection's."""
    text = f"belongs to another vendor: here `{expected}` can be set"
    return finding(where, text, "VENDOR_MISMATCH", expected=expected, actual=actual, path=where)


def patch(target: Struct, changes: Struct, where: str, found: list[Finding]) -> None:
    """Apply a merge-patch (RFC 7396) to *target*; a `MASK` in it means what is there already."""
    for key in sorted(changes.fields):
        value, there = changes.fields[key], keyed(where, key)
        if value.HasField("null_value"):
            target.fields.pop(key, None)
        elif value.HasField("struct_value"):
            inside = target.fields[key]
            if not inside.HasField("struct_value"):
                inside.struct_value.SetInParent()
            patch(inside.struct_value, value.struct_value, there, found)
        elif value.string_value != MASK:
            wanted = Value()
            wanted.CopyFrom(value)
            _unmask(wanted, target.fields.get(key, Value()), there, found)
            target.fields[key].CopyFrom(wanted)


def _unmask(value: Value, present: Value, where: str, found: list[Finding]) -> None:
    """Put what stands at the same place in *present* for every `MASK` inside of a list."""
    items, old = value.list_value.values, present.list_value.values
    if len(items) != len(old) and any(map(_masked, items)):
        text = f"holds {MASK}, which keeps what is there, and must be as long as the list that is there"
        found.append(finding(where, text))
        return
    for index, (item, before) in enumerate(zip(items, old, strict=False)):
        if item.string_value == MASK:
            item.CopyFrom(before)
        else:
            _unmask(item, before, f"{where}[{index}]", found)
    members, there = value.struct_value.fields, present.struct_value.fields
    for key in list(members):
        if members[key].string_value != MASK:
            _unmask(members[key], there.get(key, Value()), keyed(where, key), found)
        elif key in there:
            members[key].CopyFrom(there[key])
        else:
            del members[key]


def _masked(value: Value) -> bool:
    if value.HasField("list_value"):
        return any(map(_masked, value.list_value.values))
    return value.string_value == MASK or any(map(_masked, value.struct_value.fields.values()))
