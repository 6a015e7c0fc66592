"""Who calls, and what they may do: a configured caller, told by its key or by its client certificate."""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import grpc

from adapters import names
from adapters.errors import CallerRefused
from gateway.contradictions import ALL_CONNECTIONS
from gateway.settings import ConfiguredCaller, TlsSettings

AuthContext = Mapping[str, Iterable[bytes]]
"""What gRPC knows of a client's certificate, once it has verified it."""
CERTIFICATE_PROPERTIES = ("peer_uri", "x509_subject", "x509_common_name")
"""Where a `certificate_subject` is looked for: a URI, a whole subject, a common name; each only in its own place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody who calls, and what they may do."""

    id: str
    connections: frozenset[str] = frozenset()
    """Ids; one of them `*`: all."""
    writes: bool = False

    def may_use(self, connection_id: str) -> bool:
        """Tell whether the caller may use a connection, which need not exist."""
        return ALL_CONNECTIONS in self.connections or connection_id in self.connections


UNKNOWN = Caller(id="unknown")
"""Before it is known who calls, or when it can't be told."""
ANONYMOUS = Caller(id="anonymous", connections=frozenset({ALL_CONNECTIONS}), writes=True)
"""Whoever calls where no callers are configured, which only an address of this machine may do without."""


class Callers:
    """The configured callers."""

    def __init__(self, configured: Iterable[ConfiguredCaller]) -> None:
        self._by_key: dict[str, Caller] = {}
        self._by_subject: dict[tuple[str, str], Caller] = {}
        for entry in configured:
            caller = Caller(id=entry.id, connections=frozenset(entry.connections), writes=entry.access == "write")
            if entry.key_sha256 is not None:
                self._by_key[entry.key_sha256.lower()] = caller
            if entry.certificate_subject is not None:
                self._by_subject[_property_of(entry.certificate_subject), entry.certificate_subject] = caller

    def identify(self, metadata: Iterable[tuple[str, str | bytes]], auth_context: Callable[[], AuthContext]) -> Caller:
        """Tell who calls: by the key, where one is sent, else by the client certificate.

        Raises:
            CallerRefused: CALLER_UNAUTHENTICATED.
        """
        if not self._by_key and not self._by_subject:
            return ANONYMOUS
        sent = [value for key, value in metadata if key == "authorization"]
        # A key that is not known is refused even beside a certificate that is: whoever sends one means it.
        caller = self._of_key(sent) if sent else self._of_certificate(auth_context())
        if caller is None:
            raise CallerRefused(
                "no caller of this identity; send `authorization: Bearer <key>`"
                + (" or a client certificate that is known" if self._by_subject else ""),
                reason="CALLER_UNAUTHENTICATED",
            )
        return caller

    @staticmethod
    def authorize(caller: Caller, connection_id: str | None, *, write: bool) -> None:
        """Let the caller go on to a connection; None stands for none or all of those that it may use.

        Raises:
            CallerRefused: CALLER_NOT_ALLOWED.
        """
        reachable = connection_id is None or caller.may_use(connection_id)
        if reachable and (caller.writes or not write):
            return
        permission = "write" if write else "read"
        resource = names.connection("-" if connection_id is None else connection_id)
        raise CallerRefused(
            f"caller {caller.id} may not {permission} at {resource}",
            metadata={"permission": permission, "resource": resource},
        )

    @staticmethod
    def visible(caller: Caller, connection_id: str) -> bool:
        """Tell whether lists show a connection to the caller."""
        return caller.may_use(connection_id)

    def _of_key(self, sent: Sequence[str | bytes]) -> Caller | None:
        scheme, _, key = str(sent[0]).partition(" ")
        digest = hashlib.sha256(key.strip().encode()).hexdigest()
        found = None
        # All of them, so that the time taken tells nothing of how near a guess came.
        for known, caller in self._by_key.items():
            if hmac.compare_digest(known, digest):
                found = caller
        return found if scheme.lower() == "bearer" and len(sent) == 1 else None

    def _of_certificate(self, auth_context: AuthContext) -> Caller | None:
        for name in CERTIFICATE_PROPERTIES:
            for value in auth_context.get(name, ()):
                caller = self._by_subject.get((name, value.decode(errors="replace")))
                if caller is not None:
                    return caller
        return None


def server_credentials(tls: TlsSettings) -> grpc.ServerCredentials:
    """Return what the server proves itself with; with a client CA every client has to, too.

    gRPC for Python can require client certificates or not ask for them; it can't make them optional.
    """
    client_ca = tls.client_ca.read_bytes() if tls.client_ca else None
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    return grpc.ssl_server_credentials([pair], client_ca, require_client_auth=client_ca is not None)


def _property_of(subject: str) -> str:
    uri, whole, common_name = CERTIFICATE_PROPERTIES
    return uri if "://" in subject else whole if "=" in subject else common_name
