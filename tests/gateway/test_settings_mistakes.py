"""Every mistake that a configuration can have, all of them at once, and none with a value."""

import math
from pathlib import Path

import pytest

from gateway.settings import SettingsError, load
from tests.gateway.acme import ADAPTERS, ENVIRON, SUM, changed, mistakes, read

LITERAL = 'must be {env = "NAME"} or {file = "path"}, never the secret itself'
SOME = "must be a list of length at least 1"

REFUSED: list[tuple[str, object, str, str]] = [
    # What is changed, to what (None: taken away), the key of the mistake, its text.
    ("listn", "x", "listn", "no such key; is it listen?"),
    ("tls.kei", "x", "tls.kei", "no such key; is it key?"),
    ("connections.0.tokens", 1, "connections[0].tokens", "no such key; is it token or more_tokens?"),
    ("server.zzz", 1, "server.zzz", "no such key; there are default_deadline_s, shutdown_drain_s, shutdown_grace_s, "),
    ("server.a b", 1, "server.?", "no such key; there are "),
    ("connections.1.base_url", None, "connections[1].base_url", "is missing; it must be an address such as https"),
    ("connections.1.base_url", 7, "connections[1].base_url", "must be an address such as https"),
    ("connections.1.base_url", "acme.example", "connections[1].base_url", "must be an address such as https"),
    ("connections.1.base_url", "http://acme.example", "connections[1].base_url", "must be https: http goes to this "),
    ("connections.0.allow_plain_http", "no", "connections[0].allow_plain_http", "must be true or false"),
    ("connections.1.vendor", None, "connections[1].vendor", "is missing; it must be text"),
    ("connections.1.token", None, "connections[1].token", "is missing"),
    ("callers", {"id": "a"}, "callers", "must be a list"),
    ("server", [1], "server", "must be a table"),
    ("connections.1", "x", "connections[1]", "must be a table"),
    ("server.shutdown_grace_s", "25", "server.shutdown_grace_s", "must be a number at least 0"),
    ("server.default_deadline_s", 0, "server.default_deadline_s", "must be a number above 0"),
    ("server.default_deadline_s", math.nan, "server.default_deadline_s", "must be a"),
    ("server.default_deadline_s", math.inf, "server.default_deadline_s", "must be a finite number"),
    ("server.reflection", 1, "server.reflection", "must be true or false"),
    ("connections.0.batch", 101, "connections[0].batch", "must be a whole number at least 1 at most 100"),
    ("connections.0.batch", 1.5, "connections[0].batch", "must be a whole number at least 1 at most 100"),
    ("connections.0.region", "mars", "connections[0].region", 'must be "eu" or "us"'),
    ("connections.0.headers.A", 1, "connections[0].headers.A", "must be text"),
    ("connections.0.timeouts.idle_s", 0, "connections[0].timeouts.idle_s", "must be a number above 0"),
    ("connections.0.policy.attempts", 0, "connections[0].policy.attempts", "must be a whole number at least 1"),
    ("connections.0.policy.queue", -1, "connections[0].policy.queue", "must be a whole number at least 0"),
    (
        "connections.0.policy.queue_share",
        1.1,
        "connections[0].policy.queue_share",
        "must be a number above 0 at most 1",
    ),
    (
        "connections.0.policy.breaker_share",
        0,
        "connections[0].policy.breaker_share",
        "must be a number above 0 at most",
    ),
    ("connections.0.policy.breaker_open_s", 0.0, "connections[0].policy.breaker_open_s", "must be a number above 0"),
    ("connections.0.policy.atempts", 1, "connections[0].policy.atempts", "no such key; is it attempts?"),
    ("connections.0.policy", [], "connections[0].policy", "must be a table"),
    (
        "connections.0.rates.red",
        {"calls": 1},
        "connections[0].rates.red",
        "no such class of calls; there are reads, wri",
    ),
    ("connections.0.rates.reads", 5, "connections[0].rates.reads", "must be a table"),
    ("connections.0.rates.reads.calls", -1, "connections[0].rates.reads.calls", "must be a whole number at least 0"),
    ("connections.0.rates.reads.calls", None, "connections[0].rates.reads.calls", "is missing; it must be a whole num"),
    ("connections.0.rates.reads.period_s", 0, "connections[0].rates.reads.period_s", "must be a whole number at least"),
    (
        "connections.0.rates.reads.period_s",
        0.5,
        "connections[0].rates.reads.period_s",
        "must be a whole number at leas",
    ),
    ("redis.url", "redis://s3cret@redis.example", "redis.url", LITERAL),
    ("redis.url", {"env": "ACME_TOKEN"}, "redis.url", "must be an address such as redis://HOST:6379/0"),
    ("redis.url", None, "redis.url", "is missing"),
    ("redis.timeout_s", 0, "redis.timeout_s", "must be a number above 0"),
    ("redis.prefix", "", "redis.prefix", "must be text of length at least 1"),
    ("ledger.store", "mysql", "ledger.store", 'must be "memory" or "postgresql" or "sqlite"'),
    ("ledger.stor", "sqlite", "ledger.stor", "no such key; is it store?"),
    ("ledger.url", "postgresql://u:s3cret@db.example/x", "ledger.url", LITERAL),
    ("ledger.url", {"env": "REDIS_URL"}, "ledger.url", "must be a secret of the form postgresql://USER:PASSWORD@HOST/"),
    ("ledger.url", None, "ledger", 'store = "postgresql" and url go together'),
    ("ledger.store", "sqlite", "ledger", 'store = "postgresql" and url go together'),
    ("ledger", {"store": "memory", "url": {"env": "STORE_URL"}}, "ledger", 'store = "postgresql" and url go together'),
    ("ledger.directory", "", "ledger.directory", "must be text of length at least 1"),
    ("ledger.directory", {"env": "ACME_TOKEN"}, "ledger.directory", "must be text of length at least 1"),
    ("ledger.request_id_days", 0, "ledger.request_id_days", "must be a number above 0"),
    ("ledger.job_days", -1, "ledger.job_days", "must be a number above 0"),
    ("ledger.reconcile_every_s", 0, "ledger.reconcile_every_s", "must be a number above 0"),
    ("ledger.listing_lag_s", -1, "ledger.listing_lag_s", "must be a number at least 0"),
    ("ledger.lease_s", 0, "ledger.lease_s", "must be a number above 0"),
    ("ledger.timeout_s", "5", "ledger.timeout_s", "must be a number above 0"),
    ("ledger", "sqlite", "ledger", "must be a table"),
    ("connections.1.id", "Acme_US", "connections[1].id", "must be a lower-case letter, then lower-case letters, "),
    ("connections.1.vendor", "acne", "connections[1].vendor", "no such vendor; there are acme"),
    ("connections.1.vendor", 7, "connections[1].vendor", "must be text"),
    ("connections.0.token", "s3cret", "connections[0].token", LITERAL),
    ("connections.0.spare", "s3cret", "connections[0].spare", LITERAL),
    ("connections.0.more_tokens", ["s3cret"], "connections[0].more_tokens[0]", LITERAL),
    ("connections.0.token", {"env": 7}, "connections[0].token", LITERAL),
    ("connections.0.token", {"env": "A", "file": "b"}, "connections[0].token", LITERAL),
    ("connections.0.token.env", "A_B", "connections[0].token", "the environment variable A_B is not set"),
    ("connections.0.token.env", "s3cret", "connections[0].token", "the environment variable is not set"),
    ("connections.0.token.env", "EMPTY", "connections[0].token", "the environment variable EMPTY is empty"),
    ("connections.0.token", {"file": "nowhere"}, "connections[0].token", "the file can't be read: No such file"),
    ("connections.0.token", {"file": "a\0b"}, "connections[0].token", "the file can't be read: not a path"),
    ("connections.0.region", "us", "connections[0]", "base_url is not in region, and ******** should not be told"),
    ("server.page_token_keys.0.env", "ACME_TOKEN", "server.page_token_keys[0]", "must be a secret of at least 32 "),
    ("callers.0.id", "-", "callers[0].id", "must be a lower-case letter, then lower-case letters, "),
    ("callers.1.id", "reports", "callers[1].id", "is the same as callers[0].id"),
    ("callers.0.access", "admin", "callers[0].access", 'must be "read" or "write"'),
    ("callers.0.key_sha256", "s3cret", "callers[0].key_sha256", "must be 64 hexadecimal digits"),
    ("callers.1.key_sha256", SUM.upper(), "callers[1].key_sha256", "is the same as callers[0].key_sha256"),
    ("callers.0.key_sha256", None, "callers[0]", "must have either key_sha256 or certificate_subject"),
    ("callers.0.connections", [], "callers[0].connections", SOME),
    ("callers.0.connections", ["acme-eu", "x"], "callers[0].connections[1]", "no such connection; there are acme-eu, "),
    ("listen", "127.0.0.1", "listen", "must be HOST:PORT"),
    ("listen", "0.0.0.0:50051", "tls", "is missing, or calls would come in clear"),
    ("tls", {"certificate": "a", "key": "b"}, "tls.key", "the file can't be read: No such file or directory"),
    ("tls", {"certificate": 5, "key": "b"}, "tls.certificate", "must be the path of a file"),
]


@pytest.mark.parametrize(("path", "value", "key", "text"), REFUSED, ids=lambda part: str(part)[:40])
def test_a_mistake_is_told_with_its_key_and_what_is_right(
    tmp_path: Path, path: str, value: object, key: str, text: str
) -> None:
    found = mistakes(tmp_path, changed({path: value}))
    # A caller may be granted what is not there because of the mistake, and half a table lacks its other half.
    others = {other for other in found if other != key and not other.startswith(("callers[0].connections", "tls."))}
    assert others == set()
    assert found[key].startswith(text)
    assert not any("s3cret" in shown for shown in found.values())


@pytest.mark.parametrize("connections", [None, []])
def test_a_file_without_connections_is_refused(tmp_path: Path, connections: list[object] | None) -> None:
    found = mistakes(tmp_path, changed({"connections": connections, "callers": []}))
    assert list(found) == ["connections"]
    assert found["connections"].endswith(SOME)


def test_a_connection_id_is_used_once(tmp_path: Path) -> None:
    found = mistakes(tmp_path, changed({"connections.1.id": "acme-eu"}))
    assert found == {"connections[1].id": "is the same as connections[0].id"}


def test_a_caller_has_one_identity(tmp_path: Path) -> None:
    assert mistakes(tmp_path, changed({"callers.0.certificate_subject": "reports"})) == {
        "callers[0]": "must have either key_sha256 or certificate_subject",
        "callers[0].certificate_subject": "needs tls.client_ca, or no client shows a certificate",
    }


def test_http_beyond_this_machine_has_to_be_allowed(tmp_path: Path) -> None:
    address = {"connections.1.base_url": "http://acme.example"}
    allowed = read(tmp_path, changed({**address, "connections.1.allow_plain_http": True}))
    assert allowed.connections[1].allow_plain_http
    assert len(read(tmp_path, changed({"connections.1.base_url": "http://127.0.0.1:1"})).connections) == 2
    assert mistakes(tmp_path, changed({**address, "connections.1.allow_plain_http": False})).keys() == {
        "connections[1].base_url"
    }


def test_keys_that_do_not_go_together_are_told_beside_other_mistakes_of_the_connection(tmp_path: Path) -> None:
    change = {"connections.1.spare": {"env": "ACME_TOKEN"}, "connections.1.base_url": "acme.example"}
    assert mistakes(tmp_path, changed(change)) == {
        "connections[1]": "spare needs more_tokens",
        "connections[1].base_url": "must be an address such as https://api.example.com/v1",
    }


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    change: dict[str, object] = {
        "listen": "0.0.0.0:50051",
        "lisen": "x",
        "server.reflection": "yes",
        "server.page_token_keys": [{"env": "ACME_TOKEN"}],
        "callers.0.key_sha256": None,
        "callers.1.connections": ["acme-asia"],
        "connections.0.token": "s3cret",
        "connections.0.timeouts.attempt_s": -1,
        "connections.0.region": "mars",
        "connections.0.policy.attempts": "many",
        "connections.0.rates.starts.calls": "many",
        "connections.0.rates.stops": {"calls": 1},
        "redis.url": "redis://s3cret@redis.example",
        "ledger.url": "postgresql://u:s3cret@db.example/x",
        "ledger.lease_s": 0,
        "connections.1.id": "acme-eu",
        "connections.1.base_url": None,
        "connections.1.vendr": "acme",
    }
    assert mistakes(tmp_path, changed(change)).keys() == {
        "lisen",
        "tls",
        "server.reflection",
        "server.page_token_keys[0]",
        "callers[0]",
        "callers[1].connections[0]",
        "connections[0].policy.attempts",
        "connections[0].rates.starts.calls",
        "connections[0].rates.stops",
        "redis.url",
        "ledger.url",
        "ledger.lease_s",
        "connections[0].token",
        "connections[0].timeouts.attempt_s",
        "connections[0].region",
        "connections[1].id",
        "connections[1].base_url",
        "connections[1].vendr",
    }


def test_the_keys_of_an_unknown_vendor_are_not_judged(tmp_path: Path) -> None:
    change: dict[str, object] = {"connections.1.vendor": "other", "connections.1.whatever": 1}
    assert mistakes(tmp_path, changed(change)).keys() == {"connections[1].vendor"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"listen = 1\nlisten = 2\n", "is not TOML: Cannot overwrite a value (at line 2"),
        (b"\n\n[server\n", "is not TOML: Expected ']' at the end of a table declaration (at line 3"),
        (b"listen = '\xff'", "is not TOML: 'utf-8' codec can't decode byte 0xff in position 10"),
    ],
)
def test_what_is_not_toml_is_told_with_its_place(tmp_path: Path, text: bytes, expected: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_bytes(text)
    with pytest.raises(SettingsError) as raised:
        load(path, ENVIRON, ADAPTERS)
    assert [mistake.key for mistake in raised.value.mistakes] == [""]
    assert raised.value.mistakes[0].text.startswith(expected)
    assert str(raised.value).startswith(f"{path}: 1 mistake\n")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read: No such file or directory"):
        load(tmp_path / "nowhere.toml", ENVIRON, ADAPTERS)
    with pytest.raises(SettingsError, match="can't be read: Is a directory"):
        load(tmp_path, ENVIRON, ADAPTERS)


def test_a_secret_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    found = mistakes(tmp_path, changed({"connections.0.token": {"file": "token"}}))
    assert found == {"connections[0].token": "the file is not UTF-8"}
