"""Secrets that don't show, and texts and settings that might hold one."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "********"
"""What stands where a secret was; on input it means: keep what is there."""

_SECRET_KEYS = re.compile(
    r"pass(word|wd|phrase)?$|secret|token$|api_?key|private_?key|access_?key|credential|authorization|signature",
    re.IGNORECASE,
)
_NOT_SECRET_KEYS = re.compile(r"attribute_?id$", re.IGNORECASE)
"""Names of attributes, such as Meiro's `registration_token_attribute_id`, are no secrets."""
_SCRUBBED = re.compile(
    r"(?P<email>[\w.+-]+@[\w-]+(\.[\w-]+)+)"
    r"|(?P<bearer>\b(bearer|basic)\s+[\w.~+/=:-]+)"
    r"|(?P<query>(?<=[?&])[\w-]*(token|key|secret|password|signature)[\w-]*=[^&\s]+)"
    r"|(?P<long>\b[A-Za-z0-9_-]{32,}(\.[A-Za-z0-9_-]+)*)",
    re.IGNORECASE,
)


class Secret:
    """A text that is only shown on purpose."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"Secret({MASK})"


def is_secret_key(key: str) -> bool:
    """Tell whether a setting of this name is taken for a secret."""
    return _SECRET_KEYS.search(key) is not None and _NOT_SECRET_KEYS.search(key) is None


def redact(value: Any) -> Any:  # noqa: ANN401 - JSON is Any
    """Return *value* with `MASK` for the text of every key that is taken for a secret, at any depth."""
    if isinstance(value, Mapping):
        return {
            key: MASK if is_secret_key(key) and isinstance(item, str) and item else redact(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    return value


def restore(value: Any, present: Any) -> Any:  # noqa: ANN401 - JSON is Any
    """Return *value* with every `MASK` replaced by what stands at the same place in *present*."""
    if value == MASK and isinstance(present, str):
        return present
    if isinstance(value, Mapping):
        there = present if isinstance(present, Mapping) else {}
        return {key: restore(item, there.get(key)) for key, item in value.items()}
    if isinstance(value, list) and isinstance(present, list) and len(value) == len(present):
        return [restore(item, old) for item, old in zip(value, present, strict=True)]
    return value


def scrub(text: str, secrets: Iterable[Secret] = ()) -> str:
    """Return *text* without the known *secrets* and without anything that looks like one or like an e-mail address."""
    for secret in secrets:
        if secret.reveal():
            text = text.replace(secret.reveal(), MASK)
    return _SCRUBBED.sub(MASK, text)
