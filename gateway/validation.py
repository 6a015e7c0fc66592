"""Whether a request is as the contract's annotations say; each type of message is compiled into a few checks once.

Nobody writes a check for a field: `field_behavior`, `resource_reference`, `field_info` and the type say what it is,
and `gateway.rules` says the rest. OUTPUT_ONLY and IDENTIFIER fields are never read, whatever they hold (AIP-203).
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from adapters import names
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway import rules, values
from gateway.annotations import PACKAGE, Field, field_name, fields, kind
from gateway.findings import Finding, finding, keyed, refusal, too_much
from gateway.updates import arm_of, faults, mismatch, paths
from gateway.values import Check

IS_REQUIRED = "is required"
UNREAD = frozenset({"audiencegateway.v1.AudienceMember", "google.protobuf.FieldMask"})
"""Types whose inside is read elsewhere: by the upload code, and by `gateway.updates`."""
DATA = frozenset({"google.protobuf.Struct", "google.protobuf.ListValue", "google.protobuf.Value"})


def validate(request: Message, vendor: Callable[[], str] = str) -> None:
    """Refuse a request that is not as its annotations, `gateway.rules` and its update mask say.

    *vendor* tells that of the request's connection; empty where there is none. It is asked for what is wrong already:
    what is missing in the arm of another vendor is not what is wrong with it.

    Raises:
        InvalidRequest: with every violation; its reason is that of the first.
    """
    found: list[Finding] = []
    for check in _request(request.DESCRIPTOR):
        check(request, "", found)
    if found:
        raise refusal(_mismatches_first(request, vendor(), found))


def _mismatches_first(request: Any, vendor: str, found: list[Finding]) -> list[Finding]:  # noqa: ANN401 - any request
    resources = [field.name for field in fields(request.DESCRIPTOR) if field.message and kind(field.message)]
    mismatches: list[Finding] = []
    for name in resources if vendor else ():
        mask = getattr(request, "update_mask", FieldMask())
        mismatches += _mismatches(getattr(request, name), vendor, mask.paths)
    arms = tuple(f"{each.violation.field}." for each in mismatches)
    return mismatches + [each for each in found if not f"{each.violation.field}.".startswith(arms)]


def supported(resource: Message, vendor: str, carried: frozenset[str], mask: FieldMask | None = None) -> None:
    """Refuse what the vendor of a connection can't carry.

    Args:
        resource: As in a Create or Update request.
        vendor: The connection's vendor: its arm is that of the same name, or `custom` where there is none.
        carried: Paths that the adapter carries; what lies below one is carried too.
        mask: Of an Update. None, or without paths: all that is populated in *resource*.

    Raises:
        InvalidRequest: VENDOR_MISMATCH, for another vendor's arm; FIELD_NOT_SUPPORTED_BY_VENDOR.
    """
    at, arm = field_name(resource.DESCRIPTOR.name), _arm(resource, vendor)
    asked = list(mask.paths) if mask else []
    found = _mismatches(resource, vendor, asked)
    foreign = {each.metadata["actual"] for each in found}
    wanted = _masked(resource, carried, asked) if asked else _uncarried(resource, carried)
    for shown, path in wanted:
        if path.partition(".")[0] not in foreign:
            text = f"{vendor} has no place for this field"
            found.append(finding(f"{at}.{shown}", text, "FIELD_NOT_SUPPORTED_BY_VENDOR", field=path))
    if isinstance(resource, ExportJob) and arm in rules.ARMS_WITH_EVERYBODY and not arm_of(resource):
        found += rules.everybody(resource, at, arm)
    if found:
        raise refusal(found)


def _arms(resource: Message) -> set[str]:
    return {field.name for field in fields(resource.DESCRIPTOR) if field.arm}


def _arm(resource: Message, vendor: str) -> str:
    return vendor if vendor in _arms(resource) else "custom"


def _mismatches(resource: Message, vendor: str, asked: Sequence[str]) -> list[Finding]:
    """Return the arms of other vendors that a resource or the paths *asked* for name."""
    at, arm = field_name(resource.DESCRIPTOR.name), _arm(resource, vendor)
    foreign = {arm_of(resource), *(path.partition(".")[0] for path in asked)} & _arms(resource) - {arm}
    return [mismatch(f"{at}.{name}", expected=arm, actual=name) for name in sorted(foreign)]


def _uncarried(message: Message, carried: frozenset[str], at: str = "", above: str = "") -> Iterator[tuple[str, str]]:
    """Yield the populated fields that are not carried, each as it is shown and, without indexes, as a mask has it."""
    for field in fields(message.DESCRIPTOR):
        path, shown = f"{above}{field.name}", f"{at}{field.name}"
        if path in carried or not field.writable or not field.populated(message):
            continue
        if not field.ours:
            yield shown, path
            continue
        value = getattr(message, field.name)
        items = [(f"{shown}[{index}]", item) for index, item in enumerate(value)] if field.repeated else []
        inside = items or [(shown, value)]
        below = [each for here, item in inside for each in _uncarried(item, carried, f"{here}.", f"{path}.")]
        yield from below
        # A message that is there and empty says something too, unless it only says whose arm it is.
        if not below and not field.arm and not _some_below(path, carried):
            yield shown, path


def _masked(resource: Message, carried: frozenset[str], asked: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the paths of a mask that are not carried; of one that is carried in part, what is populated of the rest."""
    populated, legal = list(_uncarried(resource, carried)), paths(resource.DESCRIPTOR)
    for path in dict.fromkeys(asked):
        if path == "*" or _some_below(path, carried):
            yield from (each for each in populated if path == "*" or f"{each[1]}.".startswith(f"{path}."))
        elif legal.get(path) and not any(f"{path}.".startswith(f"{whole}.") for whole in carried):
            yield path, path


def _some_below(path: str, carried: frozenset[str]) -> bool:
    return any(part.startswith(f"{path}.") for part in carried)


# --- Compiled per type of message ----------------------------------------------------------------------------------


@cache
def _request(descriptor: Descriptor) -> tuple[Check, ...]:
    if not descriptor.full_name.startswith(PACKAGE):
        return ()
    checks = _checks(descriptor, updating=False)
    if descriptor.name.startswith("Update"):
        resources = [(field.name, kind(field.message)) for field in fields(descriptor) if field.message]
        checks += tuple(_update(name, expected) for name, expected in resources if expected)
    return checks


def _update(name: str, expected: str) -> Check:
    """Return the check of what an Update has beside its fields: the name of its resource, and its mask."""
    check_name = values.name(expected)

    def check(request: Any, _at: str, found: list[Finding]) -> None:  # noqa: ANN401 - an Update request
        if not request.HasField(name):
            return
        value = getattr(request, name)
        if value.name:
            check_name(value.name, f"{name}.name", found)
        else:
            found.append(finding(f"{name}.name", IS_REQUIRED))
        found += faults(value, request.update_mask)

    return check


@cache
def _checks(descriptor: Descriptor, *, updating: bool) -> tuple[Check, ...]:
    """Return the checks of a message's fields; *updating*: any may be absent, and a `MASK` has something to keep."""
    below = updating or descriptor.name.startswith("Update")
    checks = [
        _field(field, required=field.required and not updating, updating=below)
        for field in fields(descriptor)
        if not field.ignored
    ]
    checks += [_rule(rule) for rule in rules.RULES.get(descriptor.full_name, ())]
    return tuple(check for check in checks if check)


def _rule(rule: rules.Rule) -> Check:
    def check(message: Message, at: str, found: list[Finding]) -> None:
        found += rule(message, at)

    return check


def _field(field: Field, *, required: bool, updating: bool) -> Check | None:
    # What is repeated is written as a whole, so its elements must be whole too.
    check_value = _value(field, updating=updating and not field.repeated)
    if field.map:
        return _map(field, check_value, required=required)
    if field.repeated:
        return _list(field, check_value, required=required)
    return _single(field, check_value, required=required) if check_value or required else None


def _single(field: Field, check_value: Check | None, *, required: bool) -> Check:
    name, has_presence = field.name, field.descriptor.has_presence

    def check(message: Any, at: str, found: list[Finding]) -> None:  # noqa: ANN401 - any with this field
        if message.HasField(name) if has_presence else getattr(message, name):
            if check_value:
                check_value(getattr(message, name), f"{at}.{name}" if at else name, found)
        elif required:
            found.append(finding(f"{at}.{name}" if at else name, IS_REQUIRED))

    return check


def _list(field: Field, check_value: Check | None, *, required: bool) -> Check:
    name, limit = field.name, rules.MAX_ITEMS_OF.get(f"{field.owner.name}.{field.name}", rules.MAX_ITEMS)

    def check(message: Any, at: str, found: list[Finding]) -> None:  # noqa: ANN401 - any with this field
        items, here = getattr(message, name), f"{at}.{name}" if at else name
        if len(items) > limit:
            found.append(too_much(here, len(items), limit, "items"))
        elif required and not items:
            found.append(finding(here, IS_REQUIRED))
        elif check_value:
            for index, item in enumerate(items):
                check_value(item, f"{here}[{index}]", found)

    return check


def _map(field: Field, check_value: Check | None, *, required: bool) -> Check:
    name, check_key = field.name, values.text(rules.MAX_CHARS)

    def check(message: Any, at: str, found: list[Finding]) -> None:  # noqa: ANN401 - any with this field
        members, here = getattr(message, name), f"{at}.{name}" if at else name
        if len(members) > rules.MAX_KEYS:
            found.append(too_much(here, len(members), rules.MAX_KEYS, "keys"))
        elif required and not members:
            found.append(finding(here, IS_REQUIRED))
        else:
            for key in sorted(members):
                check_key(key, keyed(here, key), found)
                if check_value:
                    check_value(members[key], keyed(here, key), found)

    return check


def _value(field: Field, *, updating: bool) -> Check | None:
    """Return the check of one value of a field, where there is anything to check."""
    if field.message:
        return _message(field.message, field.name, updating=updating)
    if field.value.enum_type:
        return values.enum(frozenset(field.value.enum_type.values_by_number))
    if field.reference or field.child:
        return _name(field)
    if field.value.type == FieldDescriptor.TYPE_STRING:
        return values.uuid4 if field.uuid4 else values.text(rules.MAX_CHARS_OF.get(field.name, rules.MAX_CHARS))
    return values.number(rules.MINIMUMS[field.name]) if field.name in rules.MINIMUMS else None


def _name(field: Field) -> Check:
    if field.reference:
        return values.name(field.reference)
    parent = names.KINDS[names.PATTERNS[field.child][:-1]]
    return values.name(parent, or_all=parent == "Connection" and field.owner.name.startswith("List"))


def _message(descriptor: Descriptor, name: str, *, updating: bool) -> Check | None:
    """Return the check of a message in a field of this name."""
    if descriptor.full_name in DATA:
        return values.data(masks=updating)
    if descriptor.full_name == "google.protobuf.Timestamp":
        return values.timestamp
    if descriptor.full_name == "google.protobuf.Duration":
        return values.duration(rules.MINIMUMS.get(name))
    checks = () if descriptor.full_name in UNREAD else _checks(descriptor, updating=updating)

    def check(message: Message, at: str, found: list[Finding]) -> None:
        for each in checks:
            each(message, at, found)

    return check if checks else None
