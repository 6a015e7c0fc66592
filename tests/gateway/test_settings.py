"""The configuration: what is read, from where, and that no refusal shows a secret."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from adapters import registry
from adapters.policy import Policy
from adapters.rates import Rate
from adapters.secrets import Secret
from gateway import addresses
from gateway.ledger.configured import open_store
from gateway.ledger.engine import MEMORY, engine, in_file
from gateway.settings import LedgerSettings, SettingsError, connection_in_plain_text
from tests.gateway.acme import ADAPTERS, ENVIRON, REDIS, SEAL, STORE, SUM, WHOLE, AcmeSettings, changed, mistakes, read


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    settings = read(tmp_path, WHOLE)

    assert settings.listen == "127.0.0.1:7000"
    server = settings.server
    assert (server.default_deadline_s, server.shutdown_drain_s, server.shutdown_grace_s) == (5.0, 1.5, 0.0)
    assert (server.reflection, server.max_message_bytes, server.max_concurrent_calls) == (True, 65536, 7)
    assert [key.reveal() for key in server.page_token_keys] == [SEAL]
    reports, ops = settings.callers
    assert (reports.id, reports.key_sha256, reports.connections, reports.access) == (
        "reports",
        SUM,
        ("acme-eu",),
        "read",
    )
    assert (ops.connections, ops.access) == (("*",), "write")
    europe, states = settings.connections
    assert (europe.id, europe.vendor, europe.display_name) == ("acme-eu", "acme", "Acme, Europe")
    assert (europe.timeouts.operation_s, europe.timeouts.attempt_s, europe.timeouts.connect_s) == (20.0, 4.5, 3.0)
    assert europe.policy == Policy(concurrency=4, breaker_share=1.0, backoff_base_s=0.0)
    assert europe.rates == {"reads": Rate(100, 60), "starts": Rate(0), "writes": Rate(9, 1)}
    assert (states.policy, states.rates) == (Policy(), {})
    assert settings.redis is not None
    redis = settings.redis
    assert (redis.url.reveal(), redis.timeout_s, redis.prefix) == (REDIS, 0.2, "shop")
    assert isinstance(europe.settings, AcmeSettings)
    assert (europe.settings.token.reveal(), europe.settings.batch) == ("token-of-acme", 20)
    assert [token.reveal() for token in europe.settings.more_tokens] == ["token-of-acme"]
    assert europe.settings.headers == {"X-Workspace": "one"}
    assert (states.id, states.display_name, states.timeouts.operation_s) == ("acme-us", "", 30.0)


def test_a_short_file_gets_the_defaults(tmp_path: Path) -> None:
    settings = read(tmp_path, {"connections": [WHOLE["connections"][1]]})

    assert (settings.listen, settings.tls, settings.callers) == ("127.0.0.1:50051", None, ())
    assert settings.redis is None
    server = settings.server
    assert (server.default_deadline_s, server.shutdown_drain_s, server.shutdown_grace_s) == (30.0, 0.0, 25.0)
    assert (server.reflection, server.max_message_bytes, server.max_concurrent_calls) == (False, 4194304, 1000)
    assert server.page_token_keys == ()


# --- The ledger ----------------------------------------------------------------------------------------------------


def test_every_key_of_the_ledger_is_read(tmp_path: Path) -> None:
    ledger = read(tmp_path, WHOLE).ledger

    assert ledger.url is not None
    assert (ledger.store, ledger.url.reveal()) == ("postgresql", STORE)
    assert (ledger.request_id_days, ledger.job_days) == (3.0, 90.5)
    assert (ledger.reconcile_every_s, ledger.listing_lag_s, ledger.lease_s, ledger.timeout_s) == (10.0, 0.0, 20.0, 2.5)


@pytest.mark.parametrize("table", [None, {}])
def test_a_ledger_that_nothing_is_said_of_is_a_file_beside_the_configuration(
    tmp_path: Path, table: dict[str, object] | None
) -> None:
    ledger = read(tmp_path, changed({"ledger": table})).ledger

    assert ledger == LedgerSettings(directory=str(tmp_path / "state"))
    assert (ledger.store, ledger.url) == ("sqlite", None)
    assert (ledger.request_id_days, ledger.job_days) == (7.0, 400.0)
    assert (ledger.reconcile_every_s, ledger.listing_lag_s, ledger.lease_s, ledger.timeout_s) == (30.0, None, 30.0, 5.0)
    assert open_store(ledger).url == in_file(tmp_path / "state" / "ledger.sqlite")


@pytest.mark.parametrize(("directory", "where"), [("kept/here", "kept/here"), ("../x", "../x"), ("/var/x", "/var/x")])
def test_the_ledgers_folder_is_found_from_that_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: str, where: str
) -> None:
    (tmp_path / "etc").mkdir()
    monkeypatch.chdir(tmp_path)
    ledger = read(Path("etc"), changed({"ledger": {"directory": directory}})).ledger

    assert ledger.directory == str(tmp_path / "etc" / where)


def test_a_ledger_in_memory_is_asked_for(tmp_path: Path) -> None:
    assert open_store(read(tmp_path, changed({"ledger": {"store": "memory"}})).ledger).url == MEMORY


# User, host, port, database and the rest of what an address says.
STORES = {
    STORE: ("gateway", "db.example", 5433, "ledger", {"ssl": "require"}),
    "postgresql://db/ledger": (None, "db", None, "ledger", {}),
    "postgresql://u:p%40%2Fw@[::1]:1/x": ("u", "::1", 1, "x", {}),
    "postgresql://u:p/w?#@127.0.0.1/x": ("u", "127.0.0.1", None, "x", {}),
    "postgresql:///x?host=/run/postgresql": (None, None, None, "x", {"host": "/run/postgresql"}),
    "postgresql://h/x?sslmode=verify-full&host=g": (None, "h", None, "x", {"ssl": "verify-full", "host": "g"}),
}


@pytest.mark.parametrize("url", STORES)
def test_the_address_of_a_server_is_read(tmp_path: Path, url: str) -> None:
    found = open_store(read(tmp_path, WHOLE, {**ENVIRON, "STORE_URL": url}).ledger).url

    assert (found.username, found.host, found.port, found.database, dict(found.query)) == STORES[url]
    assert found.drivername == "postgresql+asyncpg"


NO_STORES = [
    "mysql://h/x",
    "h/x",
    "postgresql://",
    "postgresql://h",
    "postgresql://u:p@h:x/d",
    "postgresql://h:65536/x",
]


@pytest.mark.parametrize("url", [*NO_STORES, "postgresql://h/x?foo=1", "postgresql://a b/x", "postgresql://h/x\n\n"])
def test_what_is_no_address_of_a_server_is_a_mistake_and_no_crash(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read(tmp_path, WHOLE, {**ENVIRON, "STORE_URL": url})
    assert [mistake.key for mistake in raised.value.mistakes] == ["ledger.url"]


@given(st.from_regex(r"postgresql://[ -~]{0,30}", fullmatch=True))
def test_whatever_is_taken_for_the_address_of_a_server_can_be_opened(
    tmp_path_factory: pytest.TempPathFactory, url: str
) -> None:
    try:
        ledger = read(tmp_path_factory.getbasetemp(), WHOLE, {**ENVIRON, "STORE_URL": url}).ledger
    except SettingsError:
        return
    assert engine(open_store(ledger).url, 1.0).url


def test_settings_can_not_be_changed(tmp_path: Path) -> None:
    settings = read(tmp_path, WHOLE)
    with pytest.raises(AttributeError):
        settings.listen = "0.0.0.0:1"  # type: ignore[misc]  # which is the point


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_secret_is_read_from_a_file_without_its_last_line_break(tmp_path: Path, ending: str) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "token").write_bytes(f" first\nsecond {ending}".encode())
    settings = read(tmp_path, changed({"connections.0.token": {"file": "secrets/token"}}))

    acme = settings.connections[0].settings
    assert isinstance(acme, AcmeSettings)
    assert acme.token.reveal() == " first\nsecond "


def test_a_secret_does_not_show_in_the_settings(tmp_path: Path) -> None:
    settings = read(tmp_path, changed({"connections.0.spare": {"env": "ACME_TOKEN"}}))
    assert "token-of-acme" not in repr(settings)
    assert SEAL not in repr(settings)
    assert "hunter2" not in repr(settings)


def test_a_simulator_gives_its_secrets_in_plain_text() -> None:
    keys = {"id": "acme", "vendor": "acme", "base_url": "http://127.0.0.1:1", "token": "fake", "more_tokens": ["more"]}
    connection = connection_in_plain_text(keys, ADAPTERS)

    assert isinstance(connection.settings, AcmeSettings)
    assert (connection.settings.token.reveal(), connection.settings.more_tokens) == ("fake", (Secret("more"),))
    with pytest.raises(SettingsError, match="tokn: no such key; is it token"):
        connection_in_plain_text({**keys, "tokn": "fake"}, ADAPTERS)


def test_every_registered_simulator_gives_the_keys_of_its_adapter() -> None:
    for vendor in registry.adapters():
        keys = registry.sandbox(vendor)().connection_settings("http://127.0.0.1:1/")
        connection = connection_in_plain_text({"id": vendor, "vendor": vendor, **keys})
        assert isinstance(connection.settings, registry.adapters()[vendor].Settings)


# --- TLS and addresses ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    for name in ("server", "other"):
        certificate = ca.issue_cert("localhost")
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
        certificate.private_key_pem.write_to_path(folder / f"{name}.key")
    key = serialization.load_pem_private_key((folder / "server.key").read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"word")
    )
    (folder / "locked.key").write_bytes(locked)
    (folder / "not.pem").write_text("not PEM")
    return folder


def test_any_address_is_served_with_tls_and_callers(certificates: Path) -> None:
    tls = {"certificate": "server.pem", "key": "server.key", "client_ca": "ca.pem"}
    callers = [{"id": "reports", "certificate_subject": "spiffe://acme/reports", "connections": ["*"]}]
    settings = read(certificates, changed({"listen": "0.0.0.0:443", "tls": tls, "callers": callers}))

    assert settings.tls is not None
    assert settings.tls.certificate == certificates / "server.pem"
    assert settings.tls.client_ca == certificates / "ca.pem"
    assert settings.callers[0].certificate_subject == "spiffe://acme/reports"


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        (("server.pem", "other.key", None), {"tls.key": "is not the key of tls.certificate"}),
        (("not.pem", "server.key", None), {"tls": "certificate and key must be PEM, the key without a passphrase"}),
        (("server.pem", "not.pem", None), {"tls": "certificate and key must be PEM, the key without a passphrase"}),
        (("server.pem", "locked.key", None), {"tls": "certificate and key must be PEM, the key without a passphrase"}),
        (("server.pem", "server.key", "not.pem"), {"tls.client_ca": "must be certificates, PEM"}),
    ],
)
def test_certificates_of_no_use_are_refused(
    certificates: Path, tls: tuple[str, str, str | None], expected: dict[str, str]
) -> None:
    names = ("certificate", "key", "client_ca")
    table = {name: file for name, file in zip(names, tls, strict=True) if file is not None}
    assert mistakes(certificates, changed({"tls": table})) == expected


LOCAL = ["127.0.0.1:0", "127.9.9.9:1", "[::1]:50051", "localhost:65535", "unix:/run/gateway.sock"]
EXPOSED = ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "gateway.example:1", "[::ffff:127.0.0.1]:1", "localhost.example:1"]
WRONG = ["", ":1", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:-1", "::1:50051", "a b:1", "unix:x", "unix-abstract:x"]


@pytest.mark.parametrize("address", LOCAL)
def test_a_local_address_needs_nothing(tmp_path: Path, address: str) -> None:
    assert read(tmp_path, changed({"listen": address, "callers": None})).listen == address


@pytest.mark.parametrize("address", EXPOSED)
def test_an_address_that_others_may_reach_needs_tls_and_callers(tmp_path: Path, address: str) -> None:
    assert mistakes(tmp_path, changed({"listen": address, "callers": []})).keys() == {"tls", "callers"}


@pytest.mark.parametrize("address", WRONG)
def test_what_is_no_address_is_refused(tmp_path: Path, address: str) -> None:
    assert mistakes(tmp_path, changed({"listen": address})).keys() == {"listen"}


@given(st.text() | st.from_regex(r"\[?[0-9a-f:.]{0,20}\]?:[0-9]{1,6}", fullmatch=True))
def test_any_text_is_an_address_or_not(text: str) -> None:
    assert addresses.is_address(text) or not text.startswith("unix:/")
    if addresses.is_address(text) and not text.startswith("unix:"):
        host, port = addresses.split(text)
        assert text in {f"{host}:{port}", f"[{host}]:{port}"} or text.rpartition(":")[2].startswith("0")
        assert addresses.is_local(text) in {True, False}


# --- No secret in any error ----------------------------------------------------------------------------------------

CANARY = "c4nary~of!a secret"
ENVIRON_OF_CANARIES = {"ACME_TOKEN": CANARY, "STORE_URL": f"postgresql://{CANARY}", "SEAL_KEY": f"{CANARY}, {CANARY}"}


def places(value: object, way: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the dotted path of every value."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield ".".join((*way, str(name)))
        yield from places(item, (*way, str(name)))


canaries = st.recursive(
    st.just(CANARY) | st.just(f"https://{CANARY}@eu.acme.example"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from([CANARY, "env", "file", "id"]), inner),
    max_leaves=4,
)


@given(changes=st.dictionaries(st.sampled_from(sorted(places(WHOLE))), canaries, min_size=1, max_size=3))
def test_no_error_shows_a_secret_wherever_it_stands(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, object]
) -> None:
    document = dict(WHOLE)
    for path, value in sorted(changes.items(), reverse=True):  # what is inside first
        document = changed({path: value}, document)
    shown = ""
    try:
        read(tmp_path_factory.getbasetemp(), document, ENVIRON_OF_CANARIES)
    except SettingsError as error:
        shown = f"{error} {error!r} {error.mistakes}"
    assert CANARY not in shown
