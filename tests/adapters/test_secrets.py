"""Secrets don't show, neither in texts nor in settings, and come back where a caller leaves them masked."""

import copy
import logging
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import InvalidRequest
from adapters.secrets import MASK, MAX_SCRUBBED_CHARS, Secret, is_secret_key, redact, restore, scrub

CANARY = "c4n4ry"
SECRET_KEYS = [
    "password",
    "passwd",
    "dbPassword",
    "passphrase",
    "secret",
    "client_secret",
    "clientSecret",
    "SECRET_KEY",
    "token",
    "tokens",
    "access_token",
    "accessToken",
    "apiKey",
    "api_key",
    "apikey",
    "x-api-key",
    "privateKey",
    "private-key",
    "accessKey",
    "credentials",
    "Authorization",
    "signature",
]
OPEN_KEYS = [
    "name",
    "id",
    "url",
    "registration_token_attribute_id",
    "passage",
    "keyboard",
    "primary_key",
    "key",
    "tokenizer",
    "description",
    "value",
]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just(MASK)
OPEN = st.sampled_from(OPEN_KEYS) | st.text(max_size=4).filter(lambda key: not is_secret_key(key))
PLAIN: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(OPEN, inner, max_size=4)
)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(OPEN | st.sampled_from(SECRET_KEYS), inner, max_size=4),
)


class Holder:
    """Anything that has a secret."""

    def __init__(self, secret: Secret) -> None:
        self.secret = secret


def test_a_secret_shows_only_when_asked_to() -> None:
    secret = Secret(CANARY)
    assert CANARY not in f"{secret} {secret!r} {[secret]} {vars(Holder(secret))}"
    assert secret.reveal() == CANARY


def test_a_logged_secret_does_not_show(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("%s %r %s", Secret(CANARY), Secret(CANARY), {"given": Secret(CANARY)})
    assert CANARY not in caplog.text


def test_secrets_compare_by_what_they_hold() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert copy.deepcopy(Secret("a")) == Secret("a")
    assert pickle.loads(pickle.dumps(Secret("a"))) == Secret("a")


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_a_setting_of_this_name_is_a_secret(key: str) -> None:
    assert is_secret_key(key)
    assert redact({key: CANARY}) == {key: MASK}


@pytest.mark.parametrize("key", OPEN_KEYS)
def test_a_setting_of_this_name_is_none(key: str) -> None:
    assert not is_secret_key(key)
    assert redact({key: CANARY}) == {key: CANARY}


@pytest.mark.parametrize(
    "settings",
    [
        {"a": {"b": [{"token": CANARY}]}},
        {"credentials": {"user": "u", "value": CANARY}},
        {"credentials": [CANARY, [CANARY]]},
        {"secret": {"deep": {"deeper": [{"x": CANARY}]}}},
        [{"headers": [{"name": "X-Api-Key", "value": CANARY}]}],
        {"variables": [{"name": "password", "values": [CANARY]}]},
        ({"token": CANARY},),
    ],
)
def test_a_secret_is_found_wherever_it_stands(settings: object) -> None:
    assert CANARY not in repr(redact(settings))
    assert MASK in repr(redact(settings))


@given(PLAIN, st.sampled_from(SECRET_KEYS), PLAIN)
def test_nothing_under_a_secret_key_shows(around: object, key: str, extra: object) -> None:
    settings = {"around": around, "list": [{key: {"x": [CANARY, extra]}}]}
    assert CANARY not in repr(redact(settings))


@given(ANYTHING)
def test_redacting_keeps_the_shape_and_does_nothing_twice(settings: object) -> None:
    shown = redact(settings)
    assert redact(shown) == shown
    assert type(shown) is type(settings)
    if isinstance(settings, dict):
        assert list(redact(settings)) == list(settings)


@given(ANYTHING)
def test_what_is_sent_back_as_it_was_shown_is_what_is_there(present: object) -> None:
    assert restore(redact(present), redact(present), present, "settings") == present


@given(PLAIN, st.sampled_from(SECRET_KEYS))
def test_a_new_secret_replaces_the_old_one(around: object, key: str) -> None:
    present = {key: "old", "around": around}
    shown = redact(present)
    assert restore({**shown, key: "new"}, shown, present, "settings") == {key: "new", "around": around}


def test_an_empty_secret_is_shown_as_empty_and_can_be_cleared() -> None:
    assert redact({"token": "", "secret": None}) == {"token": "", "secret": None}
    assert restore({"token": ""}, {"token": MASK}, {"token": "old"}, "settings") == {"token": ""}


@pytest.mark.parametrize(
    ("value", "present", "field"),
    [
        ({"token": MASK}, {}, "settings.token"),
        ({"a": [{"token": MASK}]}, {"a": []}, "settings.a[0].token"),
        ({"a": [{"token": MASK, "x": 1}, {"token": "new"}]}, {"a": [{"token": "old"}]}, "settings.a[0].token"),
        ({"a": [{"token": MASK}] * 3}, {"a": [{"token": "1"}, {"token": "2"}]}, "settings.a[0].token"),
        ({"a": [{"token": MASK}]}, {"a": [{"token": "1"}, {"token": "2"}]}, "settings.a[0].token"),
        ({"a": {"token": MASK}}, {"a": "text"}, "settings.a.token"),
        ({"moved": MASK}, {"token": "old"}, "settings.moved"),
    ],
)
def test_a_mask_that_stands_for_nothing_is_never_written(value: object, present: object, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        restore(value, redact(present), present, "settings")
    assert caught.value.reason == "INVALID_FIELD"
    assert caught.value.violations[0].field == field


HOOKS = [{"url": "a", "token": "A"}, {"url": "b", "token": "B"}, {"url": "c", "token": "C"}]


@given(st.permutations(HOOKS), st.integers(0, 3), st.booleans())
def test_a_secret_follows_its_item_wherever_that_goes(order: list[dict[str, str]], kept: int, more: bool) -> None:
    new = [{"url": "d", "token": "D"}] if more else []
    wanted = new + order[:kept]
    assert restore(new + redact(order[:kept]), redact(HOOKS), HOOKS, "hooks") == wanted


def test_a_changed_item_keeps_its_secret_where_it_stands_and_takes_no_others() -> None:
    shown = redact(HOOKS)
    assert restore([{**shown[0], "url": "z"}, *shown[1:]], shown, HOOKS, "hooks")[0] == {"url": "z", "token": "A"}
    with pytest.raises(InvalidRequest) as caught:
        restore([shown[1], {**shown[0], "url": "z"}, shown[2]], shown, HOOKS, "hooks")
    assert caught.value.violations[0].field == "hooks[1].token"


def test_items_that_look_alike_keep_their_secrets_while_none_comes_or_goes() -> None:
    present = [{"token": "1"}, {"token": "2"}]
    assert restore([{"token": MASK}] * 2, redact(present), present, "list") == present
    assert restore([{"token": MASK}, {"token": "3"}], redact(present), present, "list") == [
        {"token": "1"},
        {"token": "3"},
    ]


@pytest.mark.parametrize(
    "text",
    [
        "user jane.c4n4ry+x@mail.example.co is unknown",
        "Authorization: Bearer c4n4ry.abc-_~+/=",
        "basic dXNlcjpjNG40cnk= c4n4ry".replace(" c4n4ry", ""),
        "GET https://acme.example/x?a=1&access_token=c4n4ry&b=2",
        "see /x?api-key=c4n4ry",
        "see /x?X-Signature=c4n4ry",
        "password in ?dbpassword=c4n4ry",
        "jwt eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJjNG40cnki.c4n4ry",
        "key c4n4ry0123456789abcdef0123456789abcdef",
        "user shop, password=c4n4ry",
        'bad login: db_password="c4n4ry"',
        'got {"apiKey": "c4n4ry", "page": 2}',
    ],
)
def test_what_looks_like_a_secret_or_an_address_is_scrubbed(text: str) -> None:
    scrubbed = scrub(text)
    assert MASK in scrubbed
    assert "c4n4ry" not in scrubbed
    assert "dXNlcjpjNG40cnk" not in scrubbed


@pytest.mark.parametrize(
    "text", ["Segment 300 has no export 12.", "field `name` is required (code 40-7)", "token: is required", ""]
)
def test_a_plain_text_stays_as_it_is(text: str) -> None:
    assert scrub(text, [Secret(""), Secret(CANARY)]) == text


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="*%"), min_size=1, max_size=20)


@given(st.lists(WORDS, min_size=1, max_size=4), st.lists(WORDS, max_size=4))
def test_no_known_secret_survives(secrets: list[str], around: list[str]) -> None:
    text = " ".join([*around, *secrets, "".join(secrets), *around])
    scrubbed = scrub(text, map(Secret, secrets))
    assert not [secret for secret in secrets if secret in scrubbed]


def test_a_secret_inside_of_another_leaves_nothing_of_the_longer_one() -> None:
    assert scrub("it is abcdef!", [Secret("abc"), Secret("abcdef")]) == f"it is {MASK}!"


def test_a_secret_is_found_as_a_url_spells_it() -> None:
    assert scrub("no /login?u=1#p%2Fw%20d", [Secret("p/w d")]) == f"no /login?u=1#{MASK}"


@given(st.integers(0, 80), st.sampled_from([CANARY, "c4n4ry of two words"]))
def test_a_secret_at_the_cut_does_not_show_in_part(shift: int, secret: str) -> None:
    text = "x " * ((MAX_SCRUBBED_CHARS - 40) // 2) + "y" * shift + " " + secret * 9 + " z"
    scrubbed = scrub(text, [Secret(secret)])
    assert "c4n" not in scrubbed
    assert len(scrubbed) <= MAX_SCRUBBED_CHARS + 80


@pytest.mark.parametrize("shown", range(1, 32))
def test_what_looks_like_a_secret_does_not_show_in_part_either(shown: int) -> None:
    # What is left of it at the cut is too short to look like one.
    text = "x " * (MAX_SCRUBBED_CHARS // 2)
    assert "c4n" not in scrub(text[shown + 1 :].lstrip() + " " + "c4n4ry0123456789abcdef0123456789abcdef " * 9)


@given(st.sampled_from(["a.", "?token", "key", "@", "-", "bearer ", "a@a", "aA1_" * 7 + "."]))
def test_megabytes_of_anything_are_scrubbed_without_a_search_that_never_ends(unit: str) -> None:
    assert len(scrub(unit * (4_000_000 // len(unit)))) <= 2 * MAX_SCRUBBED_CHARS
