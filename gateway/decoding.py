"""Reads plain values, as TOML gives them, into structs: every mistake at once, each with its key, and never a value.

A value that is wrong may be a secret at the wrong place, so a mistake says what would be right, not what is there.
"""

import difflib
import math
import re
from collections.abc import Callable, Collection, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import inspect

from adapters.keys import Must

S = TypeVar("S", bound=msgspec.Struct)

MAX_KEYS_LISTED = 12
_SHOWABLE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,30}", re.ASCII)
_WORDS: Mapping[type[inspect.Type], str] = {
    inspect.BoolType: "true or false",
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.StrType: "text",
    inspect.ListType: "a list",
    inspect.VarTupleType: "a list",
    inspect.DictType: "a table",
    inspect.StructType: "a table",
}
_BOUNDS = {
    "gt": "above",
    "ge": "at least",
    "lt": "below",
    "le": "at most",
    "min_length": "of length at least",
    "max_length": "of length at most",
    "pattern": "of the form",
}


class Mistake(NamedTuple):
    """One thing that is wrong, and where."""

    key: str
    """For example `connections[1].token`; empty: the whole."""
    text: str
    """What would be right."""


Reader = Callable[["Decoder", object, str], object]
"""Reads one value of a type of its own; is given its key too. Raises ValueError with a text that shows no value."""


class Decoder:
    """Reads one document. What it returns is of use only where nothing was added to `mistakes`."""

    def __init__(self, readers: Mapping[type, Reader]) -> None:
        self._readers = readers
        self.mistakes: list[Mistake] = []

    def note(self, key: str, text: str) -> None:
        """Enter a mistake."""
        self.mistakes.append(Mistake(key, text))

    def struct(self, kind: type[S], value: object, key: str = "", *, others: Collection[str] = ()) -> S | None:
        """Read a table; None where a field is wrong. *others* are keys of it that somebody else reads."""
        if not isinstance(value, dict):
            self.note(key, "must be a table")
            return None
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        for name in value:
            if name not in fields and name not in others:
                self.note(*_unknown(name, key, [*fields, *others]))
        before = len(self.mistakes)
        found: dict[str, Any] = {}
        for name, field in fields.items():
            if name in value:
                found[field.name] = self.value(field.type, value[name], join(key, name))
            elif field.required:
                wanted = described(field.type)
                self.note(join(key, name), f"is missing; it must be {wanted}" if wanted else "is missing")
        if len(self.mistakes) > before:
            return None
        try:
            return kind(**found)
        except ValueError as error:
            self.note(key, str(error))
            return None

    def value(self, kind: Any, value: object, key: str) -> Any:  # noqa: ANN401 - an annotation, and what it stands for
        """Read one value."""
        bare, notes = unwrapped(kind)
        before = len(self.mistakes)
        try:
            found = self._read(bare, notes, value, key)
        except msgspec.ValidationError:
            return self.note(key, f"must be {described(kind)}")
        except ValueError as error:
            return self.note(key, str(error))
        for must in (note for note in notes if isinstance(note, Must) and len(self.mistakes) == before):
            if not must.holds(found):
                self.note(key, f"must be {must.wanted}")
        return found

    def _read(self, bare: Any, notes: tuple[Any, ...], value: object, key: str) -> Any:  # noqa: ANN401 - as above
        if bare in self._readers:
            return self._readers[bare](self, value, key)
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            return self.struct(bare, value, key)
        inner = get_args(bare)
        if get_origin(bare) in {list, tuple}:
            items = msgspec.convert(value, _with(list[Any], notes))
            return get_origin(bare)(self.value(inner[0], item, f"{key}[{i}]") for i, item in enumerate(items))
        if get_origin(bare) is dict:
            table = msgspec.convert(value, _with(dict[str, Any], notes))
            return {name: self.value(inner[1], item, join(key, name)) for name, item in table.items()}
        found = msgspec.convert(value, _with(bare, notes))
        if isinstance(found, float) and not math.isfinite(found):
            raise ValueError("must be a finite number")
        return found


def join(key: str, name: str) -> str:
    """Return the key of *name* in the table *key*."""
    # What can't be the name of a key may be a value, at the wrong place like any other.
    shown = name if _SHOWABLE_KEY.fullmatch(name) else "?"
    return f"{key}.{shown}" if key else shown


def described(kind: Any) -> str:  # noqa: ANN401 - an annotation
    """Return what a value of the annotated type *kind* is, in words; empty where only its reader knows."""
    bare, notes = unwrapped(kind)
    musts = [note.wanted for note in notes if isinstance(note, Must)]
    return musts[0] if musts else _in_words(inspect.type_info(_with(bare, notes)))


def _in_words(info: inspect.Type) -> str:
    if isinstance(info, inspect.Metadata):
        return _in_words(info.type)
    if isinstance(info, inspect.UnionType):
        return " or ".join(_in_words(one) for one in info.types)
    if isinstance(info, inspect.LiteralType):
        return " or ".join(f'"{value}"' for value in info.values)
    bounds = [f"{words} {limit}" for name, words in _BOUNDS.items() if (limit := getattr(info, name, None)) is not None]
    return " ".join([_WORDS.get(type(info), ""), *bounds])


def _unknown(name: str, key: str, known: list[str]) -> Mistake:
    near = difflib.get_close_matches(name, known, cutoff=0.6)
    if near:
        text = f"no such key; is it {' or '.join(near)}?"
    elif len(known) <= MAX_KEYS_LISTED:
        text = f"no such key; there are {', '.join(known)}"
    else:
        text = "no such key"
    return Mistake(join(key, name), text)


def unwrapped(kind: Any) -> tuple[Any, tuple[Any, ...]]:  # noqa: ANN401 - an annotation
    """Return the type inside `Annotated` and `| None`, and the notes beside it."""
    notes: tuple[Any, ...] = ()
    while True:
        origin, inner = get_origin(kind), get_args(kind)
        if origin is Annotated:
            kind, notes = inner[0], (*notes, *inner[1:])
            continue
        present = [one for one in inner if one not in (NoneType, msgspec.UnsetType)]
        if origin not in (Union, UnionType) or len(present) != 1:
            return kind, notes
        kind = present[0]


def _with(kind: Any, notes: tuple[Any, ...]) -> Any:  # noqa: ANN401 - an annotation
    limits = tuple(note for note in notes if isinstance(note, msgspec.Meta))
    return Annotated[(kind, *limits)] if limits else kind
