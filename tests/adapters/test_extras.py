"""What no wire struct models is kept where there is a place for it, and nothing else changes."""

from typing import Any

import msgspec

from adapters.extras import keep


class Leaf(msgspec.Struct):
    """Has a place for what it does not model."""

    id: int
    renamed: str = msgspec.field(default="", name="other_name")
    extras: dict[str, Any] = msgspec.field(default_factory=dict, name="(extras)")


class Tree(msgspec.Struct):
    """Has none."""

    leaves: list[Leaf]
    one: Leaf | None = None


RAW = {
    "leaves": [{"id": 1, "color": "teal", "other_name": "x"}, {"id": 2}],
    "one": {"id": 3, "deep": {"a": [1]}, "extras": "a key like any other"},
    "selection": {"limit": 20},
}


def test_what_is_not_modelled_hangs_on_the_struct_it_belongs_to() -> None:
    tree = msgspec.convert(RAW, Tree)
    keep(tree, RAW)
    assert [leaf.extras for leaf in tree.leaves] == [{"color": "teal"}, {}]
    assert tree.one is not None
    assert tree.one.extras == {"deep": {"a": [1]}, "extras": "a key like any other"}


def test_what_stands_under_keys_of_the_vendors_choice_is_reached_too() -> None:
    raw = {"a": {"id": 1, "color": "teal"}, "b": {"id": 2}}
    leaves = msgspec.convert(raw, dict[str, Leaf])
    keep(leaves, raw)
    assert {key: leaf.extras for key, leaf in leaves.items()} == {"a": {"color": "teal"}, "b": {}}


def test_nothing_is_kept_unless_asked_for() -> None:
    tree = msgspec.convert(RAW, Tree)
    assert [leaf.extras for leaf in tree.leaves] == [{}, {}]


def test_what_is_absent_or_null_is_passed_over() -> None:
    raws: list[dict[str, Any]] = [{"leaves": []}, {"leaves": [], "one": None}]
    for raw in raws:
        tree = msgspec.convert(raw, Tree)
        keep(tree, raw)
        assert tree == Tree([])
