"""What a vendor sends and no wire struct models: kept in the FULL view, for `vendor_extras`."""

from typing import Any

import msgspec

FIELD = "extras"
"""A wire struct with a field of this name gets, in it, the keys that it does not model."""


def keep(typed: object, raw: Any) -> None:  # noqa: ANN401 - JSON is Any
    """Hang on every struct in *typed* that has an `extras` the keys of *raw*, the same JSON, that it does not model."""
    if isinstance(typed, list) and isinstance(raw, list):
        for item, json in zip(typed, raw, strict=True):
            keep(item, json)
    elif isinstance(typed, dict) and isinstance(raw, dict):
        for key, item in typed.items():
            keep(item, raw.get(key))
    elif isinstance(typed, msgspec.Struct) and isinstance(raw, dict):
        modelled = dict(zip(typed.__struct_encode_fields__, typed.__struct_fields__, strict=True))
        for key, name in modelled.items():
            keep(getattr(typed, name), raw.get(key))
        if FIELD in typed.__struct_fields__:
            setattr(typed, FIELD, {key: json for key, json in raw.items() if key not in modelled})
