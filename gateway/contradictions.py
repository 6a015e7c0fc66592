"""What a configuration may not say although each of its values alone is right."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapters import names
from gateway import addresses
from gateway.decoding import Mistake

ALL_CONNECTIONS = "*"
UNIQUE = (
    ("connections", "id"),
    ("callers", "id"),
    ("callers", "key_sha256"),
    ("callers", "certificate_subject"),
)
"""Tables, and the keys by which their entries are told apart."""

Document = dict[str, Any]


def contradictions(document: Document) -> Iterator[Mistake]:
    """Yield what does not go together in a document, of which any part may be wrong in itself."""
    for table, name in UNIQUE:
        yield from _repeated(document, table, name)
    yield from _exposed(document)
    yield from _callers(document)


def tls_mistakes(certificate: Path, key: Path, client_ca: Path | None) -> Iterator[Mistake]:
    """Yield what is wrong with files that can be read; gRPC would not say."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # The empty passphrase keeps OpenSSL from asking for one on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            yield Mistake("tls.key", "is not the key of tls.certificate")
        else:
            yield Mistake("tls", "certificate and key must be PEM, the key without a passphrase")
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except ssl.SSLError:
            yield Mistake("tls.client_ca", "must be certificates, PEM")


def _repeated(document: Document, table: str, name: str) -> Iterator[Mistake]:
    first: dict[str, str] = {}
    for key, entry in _entries(document, table):
        value = entry.get(name)
        if isinstance(value, str):
            # Digits of a hash are the same in either case.
            value = value.lower() if name == "key_sha256" else value
            if value in first:
                yield Mistake(f"{key}.{name}", f"is the same as {first[value]}.{name}")
            first.setdefault(value, key)


def _exposed(document: Document) -> Iterator[Mistake]:
    listen = document.get("listen")
    if isinstance(listen, str) and addresses.is_address(listen) and not addresses.is_local(listen):
        for table, why in (("tls", "or calls would come in clear"), ("callers", "or anybody could call")):
            if not document.get(table):
                yield Mistake(table, f"is missing, {why}: only loopback and a socket file do without")


def _callers(document: Document) -> Iterator[Mistake]:
    ids = [entry.get("id") for _, entry in _entries(document, "connections")]
    # What is no id may be a secret at the wrong place, and is not shown.
    there = [text for text in ids if isinstance(text, str) and names.is_connection_id(text)]
    tls = document.get("tls")
    for key, entry in _entries(document, "callers"):
        if ("key_sha256" in entry) == ("certificate_subject" in entry):
            yield Mistake(key, "must have either key_sha256 or certificate_subject")
        if "certificate_subject" in entry and not (isinstance(tls, dict) and "client_ca" in tls):
            yield Mistake(f"{key}.certificate_subject", "needs tls.client_ca, or no client shows a certificate")
        granted = entry.get("connections")
        for i, connection in enumerate(granted if isinstance(granted, list) else []):
            if isinstance(connection, str) and connection not in {*there, ALL_CONNECTIONS}:
                yield Mistake(f"{key}.connections[{i}]", f"no such connection; there are {', '.join(there)}")


def _entries(document: Document, table: str) -> Iterator[tuple[str, Document]]:
    entries = document.get(table)
    for i, entry in enumerate(entries if isinstance(entries, list) else []):
        if isinstance(entry, dict):
            yield f"{table}[{i}]", entry
