"""Who calls and what they may do: keys, client certificates as gRPC really shows them, and grants."""

import datetime as dt
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import CallerRefused
from gateway.callers import ANONYMOUS, UNKNOWN, Caller, Callers, server_credentials
from gateway.settings import ConfiguredCaller, TlsSettings

KEY = "5b1d0c6c-obviously-fake"
OTHER_KEY = "another-obviously-fake-key"


def sum_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


READER = ConfiguredCaller(id="reader", key_sha256=sum_of(KEY), connections=("acme-eu",))
WRITER = ConfiguredCaller(id="writer", key_sha256=sum_of(OTHER_KEY).upper(), connections=("*",), access="write")
BY_NAME = ConfiguredCaller(id="by-name", certificate_subject="reports", connections=("*",))
BY_SUBJECT = ConfiguredCaller(id="by-subject", certificate_subject="CN=batch,O=Acme\\, Inc", connections=("*",))
BY_URI = ConfiguredCaller(id="by-uri", certificate_subject="spiffe://acme/jobs", connections=("*",))
CALLERS = Callers([READER, WRITER, BY_NAME, BY_SUBJECT, BY_URI])
IN_CLEAR: Mapping[str, Sequence[bytes]] = {}


def bearer(key: str, scheme: str = "Bearer") -> list[tuple[str, str | bytes]]:
    return [("user-agent", "tests"), ("authorization", f"{scheme} {key}")]


# --- Keys ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "expected"), [(KEY, "reader"), (OTHER_KEY, "writer")])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_key_tells_its_caller(key: str, expected: str, scheme: str) -> None:
    assert CALLERS.identify(bearer(key, scheme), lambda: IN_CLEAR).id == expected


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        [("authorization", KEY)],
        [("authorization", "")],
        [("authorization", b"\xff")],
        [("authorization", f"Basic {KEY}")],
        [("authorization", f"Bearer {sum_of(KEY)}")],
        [("authorization", "Bearer ")],
        [("authorization", f"Bearer {KEY}x")],
        [("authorization", f"Bearer {KEY}"), ("authorization", f"Bearer {OTHER_KEY}")],
        [("x-authorization", f"Bearer {KEY}")],
    ],
)
def test_what_is_no_known_key_is_refused(metadata: list[tuple[str, str | bytes]]) -> None:
    with pytest.raises(CallerRefused) as raised:
        CALLERS.identify(metadata, lambda: IN_CLEAR)
    assert raised.value.reason == "CALLER_UNAUTHENTICATED"
    assert KEY not in str(raised.value)


@given(st.text())
def test_no_other_text_is_a_key(key: str) -> None:
    with pytest.raises(CallerRefused):
        CALLERS.identify(bearer(key), lambda: IN_CLEAR)


def test_a_wrong_key_is_refused_beside_a_right_certificate() -> None:
    certificate = {"x509_common_name": [b"reports"]}
    assert CALLERS.identify([], lambda: certificate).id == "by-name"
    with pytest.raises(CallerRefused):
        CALLERS.identify(bearer("wrong"), lambda: certificate)


def test_without_configured_callers_everybody_may_do_everything() -> None:
    anybody = Callers([]).identify([], lambda: IN_CLEAR)
    assert anybody is ANONYMOUS
    Callers.authorize(anybody, "acme-eu", write=True)
    assert Callers.visible(anybody, "acme-eu")


# --- Grants --------------------------------------------------------------------------------------------------------

READS = Caller(id="reads", connections=frozenset({"acme-eu"}))
WRITES = Caller(id="writes", connections=frozenset({"acme-eu"}), writes=True)
ALL = Caller(id="all", connections=frozenset({"*"}))


@pytest.mark.parametrize(
    ("caller", "connection_id", "write", "allowed"),
    [
        (READS, "acme-eu", False, True),
        (READS, "acme-eu", True, False),
        (READS, "acme-us", False, False),
        (READS, None, False, True),
        (READS, None, True, False),
        (WRITES, "acme-eu", True, True),
        (WRITES, "acme-us", True, False),
        (ALL, "anything", False, True),
        (ALL, "anything", True, False),
        (ANONYMOUS, "anything", True, True),
        (UNKNOWN, "acme-eu", False, False),
        (READS, "*", False, False),
        (READS, "", False, False),
    ],
)
def test_grants_decide(caller: Caller, connection_id: str | None, write: bool, allowed: bool) -> None:
    if allowed:
        Callers.authorize(caller, connection_id, write=write)
    else:
        with pytest.raises(CallerRefused) as raised:
            Callers.authorize(caller, connection_id, write=write)
        assert raised.value.reason == "CALLER_NOT_ALLOWED"
        assert raised.value.metadata == {
            "permission": "write" if write else "read",
            "resource": f"connections/{'-' if connection_id is None else connection_id}",
        }


def test_lists_show_what_is_granted() -> None:
    assert [Callers.visible(READS, connection) for connection in ("acme-eu", "acme-us")] == [True, False]
    assert Callers.visible(ALL, "acme-us")


def test_read_is_the_access_unless_write_is_said() -> None:
    assert not CALLERS.identify(bearer(KEY), lambda: IN_CLEAR).writes
    assert CALLERS.identify(bearer(OTHER_KEY), lambda: IN_CLEAR).writes


# --- Certificates, over real TLS -----------------------------------------------------------------------------------


class Authority(NamedTuple):
    """Who signs, and the folder with what the server needs."""

    ca: trustme.CA
    folder: Path

    def settings(self, *, client_ca: bool) -> TlsSettings:
        return TlsSettings(
            certificate=self.folder / "server.pem",
            key=self.folder / "server.key",
            client_ca=self.folder / "ca.pem" if client_ca else None,
        )

    def client(self, uri: str = "", **subject: str) -> tuple[bytes, bytes]:
        """Return key and certificate of a client with the attributes of its subject in this order."""
        return issue(self.ca, uri, **subject)


def issue(ca: trustme.CA, uri: str = "", **subject: str) -> tuple[bytes, bytes]:
    root = x509.load_pem_x509_certificate(ca.cert_pem.bytes())
    root_key = serialization.load_pem_private_key(ca.private_key_pem.bytes(), None)
    assert isinstance(root_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(
        issuer_name=root.subject,
        subject_name=x509.Name([x509.NameAttribute(getattr(NameOID, name), text) for name, text in subject.items()]),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - dt.timedelta(days=1),
        not_valid_after=now + dt.timedelta(days=1),
    )
    if uri:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
        builder = builder.add_extension(names, critical=False)
    certificate = builder.sign(root_key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, certificate.public_bytes(pem)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("tls")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    server = ca.issue_cert("localhost")
    server.cert_chain_pems[0].write_to_path(folder / "server.pem")
    server.private_key_pem.write_to_path(folder / "server.key")
    return Authority(ca, folder)


@asynccontextmanager
async def telling(callers: Callers, tls: TlsSettings) -> AsyncIterator[str]:
    """Serve one method that answers with the id of whoever calls it."""

    async def tell(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        try:
            return callers.identify(context.invocation_metadata() or (), context.auth_context).id.encode()
        except CallerRefused as refused:
            return refused.reason.encode()

    server = grpc.aio.server()
    handlers: dict[str, Any] = {"Tell": grpc.unary_unary_rpc_method_handler(tell)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tests.Who", handlers),))
    port = server.add_secure_port("127.0.0.1:0", server_credentials(tls))
    await server.start()
    try:
        yield f"localhost:{port}"
    finally:
        await server.stop(0)


async def who(
    address: str, ca: trustme.CA, client: tuple[bytes, bytes] | None = None, key: str | None = None
) -> str | grpc.StatusCode:
    private, chain = client or (None, None)
    credentials = grpc.ssl_channel_credentials(ca.cert_pem.bytes(), private, chain)
    async with grpc.aio.secure_channel(address, credentials) as channel:
        tell: Any = channel.unary_unary("/tests.Who/Tell")
        metadata = (("authorization", f"Bearer {key}"),) if key else ()
        try:
            answer: bytes = await tell(b"", timeout=10, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return error.code()
        return answer.decode()


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ({"COMMON_NAME": "reports"}, "by-name"),
        ({"ORGANIZATION_NAME": "Anything", "COMMON_NAME": "reports"}, "by-name"),
        ({"ORGANIZATION_NAME": "Acme, Inc", "COMMON_NAME": "batch"}, "by-subject"),
        ({"COMMON_NAME": "anything", "uri": "spiffe://acme/jobs"}, "by-uri"),
        ({"ORGANIZATION_NAME": "Acme", "COMMON_NAME": "batch"}, "CALLER_UNAUTHENTICATED"),
        ({"COMMON_NAME": "anything", "uri": "spiffe://acme/other"}, "CALLER_UNAUTHENTICATED"),
        # Each is looked for in its own place only.
        ({"COMMON_NAME": "spiffe://acme/jobs"}, "CALLER_UNAUTHENTICATED"),
        ({"COMMON_NAME": "CN=batch,O=Acme\\, Inc"}, "CALLER_UNAUTHENTICATED"),
        ({"ORGANIZATION_NAME": "reports", "COMMON_NAME": "other"}, "CALLER_UNAUTHENTICATED"),
    ],
)
async def test_a_certificate_tells_its_caller(authority: Authority, subject: dict[str, str], expected: str) -> None:
    async with telling(CALLERS, authority.settings(client_ca=True)) as address:
        assert await who(address, authority.ca, authority.client(**subject)) == expected


async def test_a_key_tells_its_caller_over_tls(authority: Authority) -> None:
    async with telling(CALLERS, authority.settings(client_ca=False)) as address:
        assert await who(address, authority.ca, key=KEY) == "reader"
        assert await who(address, authority.ca) == "CALLER_UNAUTHENTICATED"
        # Nobody asked for the certificate, so nobody verified it.
        assert await who(address, authority.ca, authority.client(COMMON_NAME="reports")) == "CALLER_UNAUTHENTICATED"


async def test_a_client_ca_asks_every_client_for_its_certificate(authority: Authority) -> None:
    stranger = issue(trustme.CA(), COMMON_NAME="reports")
    async with telling(CALLERS, authority.settings(client_ca=True)) as address:
        assert await who(address, authority.ca, key=KEY) is grpc.StatusCode.UNAVAILABLE
        assert await who(address, authority.ca, stranger) is grpc.StatusCode.UNAVAILABLE
        assert await who(address, authority.ca, authority.client(COMMON_NAME="any"), key=KEY) == "reader"
