"""Secrets that don't show, and texts and settings that might hold one."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from adapters.errors import invalid_field

MASK = "********"
"""What stands where a secret was; on input it means: keep what is there."""

_SECRET_KEYS = re.compile(
    r"pass(word|wd|phrase)?s?$|secret|tokens?$|(api|private|access)[_-]?key|credential|authorization|signature",
    re.IGNORECASE,
)
_NOT_SECRET_KEYS = re.compile(r"attribute_?id$", re.IGNORECASE)
"""Names of attributes, such as Meiro's `registration_token_attribute_id`, are no secrets."""
_PLAIN = (str, int, float)
"""Told first: most values are, and whether something is a Mapping takes longer to tell."""
NAMED = frozenset({"value", "values"})
"""What is masked beside a `name` that is taken for a secret's."""
MAX_SCRUBBED_CHARS = 4096
"""A text that a vendor sends may be megabytes of anything, and the search below is not linear."""
_SCRUBBED = re.compile(
    r"(?P<email>(?<![\w.+-])[\w.+-]++@[\w-]+(\.[\w-]+)+)"
    r"|(?P<bearer>\b(bearer|basic)\s+[\w.~+/=:-]+)"
    r"|(?P<pair>\b[\w-]{0,64}(token|key|secret|passw(or)?d|signature)[\w-]{0,64}(=\"?|\"\s*:\s*\")[^&\s\",;]+)"
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


@lru_cache(maxsize=4096)
def is_secret_key(key: str) -> bool:
    """Tell whether a setting of this name is taken for a secret."""
    return _SECRET_KEYS.search(key) is not None and _NOT_SECRET_KEYS.search(key) is None


def redact(value: Any) -> Any:  # noqa: ANN401 - JSON is Any
    """Return *value* with `MASK` for what is taken for a secret, at any depth.

    That is what stands under a key that is taken for one, and the `value` or `values` beside a `name` that is.
    """
    if value is None or isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping):
        named = is_secret_key(str(value.get("name", "")))
        return {
            key: mask(item) if is_secret_key(key) or (named and key in NAMED) else redact(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    return value


def mask(value: Any) -> Any:  # noqa: ANN401 - JSON is Any
    """Return *value* with `MASK` for each text and number in it that is not empty."""
    if isinstance(value, Mapping):
        return {key: mask(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask(item) for item in value]
    return value if value is None or value == "" or isinstance(value, bool) else MASK


def restore(value: Any, shown: Any, present: Any, field: str) -> Any:  # noqa: ANN401 - JSON is Any
    """Return *value* as it is to be written: what is as it was *shown* stays as it is *present*, secrets above all.

    Args:
        value: What a caller made of *shown*.
        shown: *present* as the caller saw it: redacted, and perhaps with its numbers in another form.
        present: What the vendor has.
        field: Path of *value* in the request.

    Raises:
        InvalidRequest: INVALID_FIELD for a `MASK` that stands for nothing.
    """
    if isinstance(value, Mapping):
        before, there = (old if isinstance(old, Mapping) else {} for old in (shown, present))
        return {key: restore(item, before.get(key), there.get(key), f"{field}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        items = zip(value, _olds(value, shown, present), strict=True)
        return [restore(item, *old, f"{field}[{index}]") for index, (item, old) in enumerate(items)]
    if value == shown and type(value) is type(shown):
        return present
    if value == MASK:
        raise invalid_field(field, f"{MASK} keeps what is there, and here is nothing to keep")
    return value


def scrub(text: str, secrets: Iterable[Secret] = ()) -> str:
    """Return *text* without the known *secrets* and without anything that looks like one or like an e-mail address.

    Of a long text that is only the beginning, without the word in which it was cut: half a secret looks like none.
    """
    known = {secret.reveal() for secret in secrets} - {""}
    # The longest first: one may hold another. A URL holds them quoted.
    for secret in sorted(known | {quote(secret, safe="") for secret in known}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    if len(text) > MAX_SCRUBBED_CHARS:
        text = " ".join(text[:MAX_SCRUBBED_CHARS].split()[:-1])
    return _SCRUBBED.sub(MASK, text)


def _olds(value: list[Any], shown: Any, present: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 - JSON is Any
    """Yield for each item of *value* what it was shown as, and what it is; a secret must not move to another item."""
    pairs = []
    if isinstance(shown, list) and isinstance(present, list) and len(shown) == len(present):
        pairs = list(zip(shown, present, strict=True))
    stays = len(value) == len(pairs)
    for index, item in enumerate(value):
        same = [pair for pair in pairs if pair[0] == item]
        if stays and (pairs[index] in same or (not same and pairs[index][0] not in value)):
            yield pairs[index]
        else:
            # It moved: which one it was can be told where only one was shown so.
            yield same[0] if len(same) == 1 else (None, None)
