"""Messages of any content, for rules that hold for all inputs."""

from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from hypothesis import strategies as st

M = TypeVar("M", bound=Message)
Draw = Callable[[st.SearchStrategy[Any]], Any]

MASK = "********"
TEXTS = st.sampled_from(
    ["", "x", "é\x00", "a" * 1025, MASK, "settings", "8f0e7c0a-3f0b-4c39-9f6b-6a0c0f6d2b11"]
) | st.text(max_size=8)
NAMES = st.sampled_from(
    [
        "connections/-",
        "connections/main",
        "connections/main/destinations/42",
        "connections/main/destinations/42/subscriptions/s",
        "connections/main/exportJobs/3~4",
        "connections/main/destinations/../42",
        "connections/main/destinations/%2F",
    ]
)
NUMBERS = st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31)]) | st.integers(-(2**31), 2**31 - 1)
KEYS = st.sampled_from(["a", "b", "c"]) | st.text(max_size=4)


def new(kind: type[M], /, **fields: Any) -> M:
    """Return a message made of plain values: types know none of the dicts that protobuf takes for messages."""
    return kind(**fields)


def json(*, nulls: bool = True) -> st.SearchStrategy[Any]:
    """Return any JSON, with few keys, so that two of them meet."""
    plain = st.booleans() | st.integers(-100, 100) | st.sampled_from([0.5, "", "x", "y", MASK])
    leaves = plain | st.none() if nulls else plain
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | objects(inner), max_leaves=8)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return any JSON object of these values."""
    return st.dictionaries(KEYS, inner, max_size=4)


def struct(value: dict[str, Any]) -> Struct:
    """Return a JSON object as a Struct."""
    message = Struct()
    message.update(value)
    return message


@st.composite
def messages(draw: Draw, kind: type[M], *, wild: bool = True) -> M:
    """Return any message of a type; *wild*: also what no JSON can say, such as NaN, or a Value without a value."""
    message = kind()
    _fill(draw, message, 4, wild)
    return message


def _fill(draw: Draw, message: Any, depth: int, wild: bool) -> None:
    if isinstance(message, Struct) and not wild:
        message.update(draw(objects(json())))
        return
    fields = list(message.DESCRIPTOR.fields)
    for field in draw(st.lists(st.sampled_from(fields), max_size=6, unique=True)):
        entry = field.message_type if field.message_type and field.message_type.GetOptions().map_entry else None
        if entry:
            _fill_map(draw, getattr(message, field.name), entry.fields_by_name["value"], depth, wild)
        elif field.message_type and field.is_repeated:
            for _ in range(draw(st.integers(0, 3)) if depth else 0):
                _fill(draw, getattr(message, field.name).add(), depth - 1, wild)
        elif field.message_type:
            getattr(message, field.name).SetInParent()
            if depth:
                _fill(draw, getattr(message, field.name), depth - 1, wild)
        elif field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(_scalar(field, wild), max_size=3)))
        else:
            setattr(message, field.name, draw(_scalar(field, wild)))


def _fill_map(draw: Draw, members: Any, value: FieldDescriptor, depth: int, wild: bool) -> None:
    for key in draw(st.sets(KEYS, max_size=2)):
        if value.message_type:
            members[key].SetInParent()
            if depth:
                _fill(draw, members[key], depth - 1, wild)
        else:
            members[key] = draw(_scalar(value, wild))


def _scalar(field: FieldDescriptor, wild: bool) -> st.SearchStrategy[Any]:
    if field.type == FieldDescriptor.TYPE_STRING:
        return TEXTS | NAMES
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=4)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    if field.type in {FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT}:
        return st.floats(width=32, allow_nan=wild, allow_infinity=wild)
    if field.enum_type and field.enum_type.full_name == "google.protobuf.NullValue":
        return st.just(0)
    return NUMBERS
