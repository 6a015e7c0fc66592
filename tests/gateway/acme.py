"""A configuration file with every kind of key, of a vendor that has every kind of setting, and ways to change it."""

import copy
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import pytest
from msgspec import Meta

from adapters.base import Adapter, ConnectionSettings
from adapters.keys import Address
from adapters.rates import Rate
from adapters.secrets import Secret
from gateway.settings import Settings, SettingsError, load

SUM = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
SEAL = "a-key-for-page-tokens-that-is-long-enough"
REDIS = "rediss://gateway:hunter2@redis.example:6380/1"
STORE = "postgresql://gateway:hunter2@db.example:5433/ledger?sslmode=require"
ENVIRON = {"ACME_TOKEN": "token-of-acme", "SEAL_KEY": SEAL, "REDIS_URL": REDIS, "STORE_URL": STORE, "EMPTY": ""}


class AcmeSettings(ConnectionSettings, kw_only=True, frozen=True):
    """Every kind of key that a vendor may have."""

    base_url: Address
    token: Secret
    region: Literal["eu", "us"] = "eu"
    batch: Annotated[int, Meta(ge=1, le=100)] = 10
    more_tokens: tuple[Secret, ...] = ()
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    spare: Secret | None = None

    @classmethod
    def contradictions(cls, given: Collection[str]) -> Iterator[str]:
        if "spare" in given and "more_tokens" not in given:
            yield "spare needs more_tokens"

    def __post_init__(self) -> None:
        if self.region == "us" and "://eu." in self.base_url:
            raise ValueError(f"base_url is not in region, and {self.token.reveal()} should not be told")


class AcmeAdapter(Adapter[AcmeSettings]):
    """Only its settings matter."""

    vendor = "acme"
    Settings = AcmeSettings
    rates: ClassVar[Mapping[str, Rate]] = {"starts": Rate(5, 61)}


ADAPTERS: Mapping[str, type[Adapter[Any]]] = {"acme": AcmeAdapter}

WHOLE: dict[str, Any] = {
    "listen": "127.0.0.1:7000",
    "server": {
        "default_deadline_s": 5,
        "shutdown_drain_s": 1.5,
        "shutdown_grace_s": 0,
        "reflection": True,
        "max_message_bytes": 65536,
        "max_concurrent_calls": 7,
        "page_token_keys": [{"env": "SEAL_KEY"}],
    },
    "ledger": {
        "store": "postgresql",
        "url": {"env": "STORE_URL"},
        "directory": "kept",
        "request_id_days": 3,
        "job_days": 90.5,
        "reconcile_every_s": 10,
        "listing_lag_s": 0,
        "lease_s": 20,
        "timeout_s": 2.5,
    },
    "redis": {"url": {"env": "REDIS_URL"}, "timeout_s": 0.2, "prefix": "shop"},
    "callers": [
        {"id": "reports", "key_sha256": SUM, "connections": ["acme-eu"]},
        {"id": "ops", "key_sha256": SUM[::-1], "connections": ["*"], "access": "write"},
    ],
    "connections": [
        {
            "id": "acme-eu",
            "vendor": "acme",
            "display_name": "Acme, Europe",
            "base_url": "https://eu.acme.example/api",
            "token": {"env": "ACME_TOKEN"},
            "batch": 20,
            "more_tokens": [{"env": "ACME_TOKEN"}],
            "headers": {"X-Workspace": "one"},
            "timeouts": {"operation_s": 20, "attempt_s": 4.5},
            "policy": {"concurrency": 4, "breaker_share": 1, "backoff_base_s": 0},
            "rates": {"reads": {"calls": 100}, "starts": {"calls": 0}, "writes": {"calls": 9, "period_s": 1}},
        },
        {"id": "acme-us", "vendor": "acme", "base_url": "https://us.acme.example", "token": {"env": "ACME_TOKEN"}},
    ],
}


def toml(value: object) -> str:
    """Write a value as TOML, tables inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return repr(value) if isinstance(value, float) else json.dumps(value)


def write(folder: Path, document: Mapping[str, object]) -> Path:
    path = folder / "gateway.toml"
    path.write_text("".join(f"{json.dumps(name)} = {toml(value)}\n" for name, value in document.items()))
    return path


def changed(change: Mapping[str, object], whole: Mapping[str, Any] = WHOLE) -> dict[str, Any]:
    """Return the whole document with the value at each dotted path replaced, or taken away for None."""
    document = copy.deepcopy(dict(whole))
    for path, value in change.items():
        *way, last = path.split(".")
        place: Any = document
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
        if value is None:
            del place[last]
        else:
            place[int(last) if isinstance(place, list) else last] = value
    return document


def read(folder: Path, document: Mapping[str, object], environ: Mapping[str, str] = ENVIRON) -> Settings:
    return load(write(folder, document), environ, ADAPTERS)


def mistakes(folder: Path, document: Mapping[str, object]) -> dict[str, str]:
    with pytest.raises(SettingsError) as raised:
        read(folder, document)
    found = dict(raised.value.mistakes)
    assert len(found) == len(raised.value.mistakes), "one key, one mistake"
    assert all(f"  {key}: {text}" in str(raised.value).splitlines() for key, text in found.items() if key)
    return found
