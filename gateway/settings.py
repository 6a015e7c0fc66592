"""The configuration: TOML and the environment, read into frozen structs, or refused with every mistake at once.

Each key stands below with what it means; those of a vendor stand in the vendor's own README. A secret is never in the
file: it is `{env = "NAME"}`, an environment variable, or `{file = "path"}`, whose last line break does not count. Paths
are relative to the folder of the file.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from adapters import names, registry
from adapters.base import Adapter, ConnectionSettings
from adapters.keys import ADDRESS, Must, is_address, is_in_clear
from adapters.policy import Policy
from adapters.rates import BOTH, Rate
from adapters.secrets import MASK, Secret
from adapters.transport import Timeouts
from gateway import addresses
from gateway.contradictions import contradictions, tls_mistakes
from gateway.decoding import Decoder, Mistake, join, unwrapped

Adapters = Mapping[str, type[Adapter[Any]]]

MIN_KEY_CHARS = 32
_TIMEOUTS = Timeouts()
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)
IN_CLEAR = "must be https: http goes to this machine alone, or anywhere with allow_plain_http = true"
_REDIS = re.compile(r"rediss?://([^/?#\s]*@)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?(/[0-9]*)?", re.ASCII)
_STORE = re.compile(
    r"postgresql://([^:/@\s]*(:[^@\s]*)?@)?([^:/@?#\[\]\s]*|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?/[^?#\s]*"
    r"(\?(host|ssl|sslmode)=[^&\s]+(&(host|ssl|sslmode)=[^&\s]+)*)?",
    re.ASCII,
)
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}", re.ASCII)

Seconds = Annotated[float, Meta(ge=0)]
SomeSeconds = Annotated[float, Meta(gt=0)]
Text = Annotated[str, Meta(min_length=1)]
Id = Annotated[
    str, Must("a lower-case letter, then lower-case letters, digits and hyphens, at most 63", names.is_connection_id)
]
Listen = Annotated[str, Must(addresses.WANTED, addresses.is_address)]
Sha256 = Annotated[str, Must("64 hexadecimal digits", lambda text: _SHA256.fullmatch(text) is not None)]
SealKey = Annotated[
    Secret,
    Must(f"a secret of at least {MIN_KEY_CHARS} characters", lambda key: len(key.reveal()) >= MIN_KEY_CHARS),
]


SomeDays = Annotated[float, Meta(gt=0)]


def _is_store(url: Secret) -> bool:
    found = _STORE.fullmatch(url.reveal())
    return found is not None and int(found["port"] or 0) <= addresses.MAX_PORT


StoreUrl = Annotated[Secret, Must("a secret of the form postgresql://USER:PASSWORD@HOST/DATABASE", _is_store)]


RedisUrl = Annotated[
    Secret, Must("an address such as redis://HOST:6379/0", lambda url: _REDIS.fullmatch(url.reveal()) is not None)
]


class SettingsError(ValueError):
    """A configuration that can't be used, with everything that is wrong with it."""

    def __init__(self, source: str, mistakes: list[Mistake]) -> None:
        self.source = source
        self.mistakes = tuple(mistakes)
        lines = [f"{source}: {len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}"]
        lines += [f"  {key}: {text}" if key else f"  {text}" for key, text in mistakes]
        super().__init__("\n".join(lines))


class TlsSettings(msgspec.Struct, kw_only=True, frozen=True):
    """`[tls]`: the server's identity, and with `client_ca` its clients'. Files are read once, at the start."""

    certificate: Path
    """File with the server's certificate and those between it and its root, PEM."""
    key: Path
    """File with its private key, PEM, without a passphrase."""
    client_ca: Path | None = None
    """File with the roots of client certificates, PEM. With it every client must show a certificate that they signed,
    callers with a key too; without it no certificate is asked for."""


class ConfiguredCaller(msgspec.Struct, kw_only=True, frozen=True):
    """`[[callers]]`: somebody who may call. Has either `key_sha256` or `certificate_subject`."""

    id: Id
    """Shown in logs; request ids are kept apart by it."""
    key_sha256: Sha256 | None = None
    """SHA-256, in hexadecimal, of a key that the caller sends as metadata `authorization: Bearer <key>`. Make the key
    by `openssl rand -hex 32`, the sum by `printf %s "$KEY" | sha256sum`."""
    certificate_subject: Text | None = None
    """Whose client certificate it is; needs `tls.client_ca`. A text with `://` is a URI among its alternative names;
    one with `=` its whole subject, as `openssl x509 -noout -subject -nameopt RFC2253` prints it; any other its common
    name."""
    connections: Annotated[tuple[Text, ...], Meta(min_length=1)]
    """Ids of the connections that the caller may use; `["*"]`: all."""
    access: Literal["read", "write"] = "read"
    """`write` also allows what changes something at a vendor."""


class ServerSettings(msgspec.Struct, kw_only=True, frozen=True):
    """`[server]`: how calls are served."""

    default_deadline_s: SomeSeconds = 30.0
    """For calls whose client set no deadline; streams have none."""
    shutdown_drain_s: Seconds = 0.0
    """After SIGTERM: how long health says NOT_SERVING while calls still come in; what a load balancer needs to see."""
    shutdown_grace_s: Seconds = 25.0
    """Then: how long calls under way may take to end."""
    reflection: bool = False
    """Whether clients may ask for the contract (grpcurl does)."""
    max_message_bytes: Annotated[int, Meta(ge=64 * 1024, le=64 * 1024 * 1024)] = 4 * 1024 * 1024
    """The largest request taken."""
    max_concurrent_calls: Annotated[int, Meta(ge=1)] = 1000
    """More than these at once end with GATEWAY_OVERLOADED; open streams count."""
    page_token_keys: tuple[SealKey, ...] = ()
    """Seal page tokens: the first one does, all are understood, so a new one goes first and the old one stays for 3
    days. The same in every replica. Empty: a random one, for one replica only, and tokens end with the process."""


class LedgerSettings(msgspec.Struct, kw_only=True, frozen=True):
    """`[ledger]`: where it is recorded what was sent, so that nothing is sent twice and nothing is forgotten."""

    store: Literal["sqlite", "postgresql", "memory"] = "sqlite"
    """`sqlite`: one file, for the processes of one machine; `postgresql`: a server, for several replicas, which needs
    `url`; `memory`: nothing is kept, and a request that is repeated after a restart runs again."""
    directory: Text = "state"
    """Folder of the file; made where it is not there. Belongs on a disk that outlives the process, and on a local one:
    SQLite's locks don't hold on a network's."""
    url: StoreUrl | None = None
    """A secret of the form `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, after which `?host=` may name a socket's
    folder and `?sslmode=` one of PostgreSQL's. The tables are made, and kept up to date, by the gateway."""
    request_id_days: SomeDays = 7.0
    """How long a repeated `request_id` is answered and not done again."""
    job_days: SomeDays = 400.0
    """How long a job is known as started here, and a `g~…` name understood, after its outcome was known."""
    reconcile_every_s: SomeSeconds = 30.0
    """How often what lost writes came to is looked for, and what other replicas did is learned."""
    listing_lag_s: Seconds | None = None
    """How long a vendor's lists may take to show what it accepted; unless set, what its adapter says."""
    max_write_s: SomeSeconds = 60.0
    """How long a write may go on, whether or not its caller has left; a file of members, ten times as long."""
    lease_s: SomeSeconds = 30.0
    """A process that gave no sign of life for so long is dead, and others may go on with what it had begun."""
    timeout_s: SomeSeconds = 5.0
    """How long the store may take; after that a write is refused, and nothing sent."""

    def __post_init__(self) -> None:
        """Refuse what can't work. Raises ValueError."""
        if (self.store == "postgresql") != (self.url is not None):
            raise ValueError('store = "postgresql" and url go together')


class TimeoutSettings(msgspec.Struct, kw_only=True, frozen=True):
    """`[connections.timeouts]`: how long the vendor may take."""

    operation_s: SomeSeconds = _TIMEOUTS.operation_s
    """All attempts of one call, where the caller's deadline leaves more."""
    attempt_s: SomeSeconds = _TIMEOUTS.attempt_s
    """One attempt of a read or an idempotent write."""
    connect_s: SomeSeconds = _TIMEOUTS.connect_s
    """Until a connection stands."""
    idle_s: SomeSeconds = _TIMEOUTS.idle_s
    """Between two pieces of a download or upload, which have no end of their own."""


class RedisSettings(msgspec.Struct, kw_only=True, frozen=True):
    """`[redis]`: what counts calls against `rates` for all replicas together. Without it each counts its own."""

    url: RedisUrl
    """A secret of the form `redis://[USER:PASSWORD@]HOST:PORT/DATABASE`, or `rediss://` for TLS. While it can't be
    reached each replica counts its own, and says so in its log."""
    timeout_s: SomeSeconds = 0.05
    """How long a call waits for it at most."""
    prefix: Text = "audience-gateway"
    """What its keys begin with: the same in all replicas, another in each gateway that has other connections."""


class ConnectionKeys(msgspec.Struct, kw_only=True, frozen=True):
    """`[[connections]]`: an account at a vendor. What is not here is one of the vendor's own keys."""

    id: Id
    """The id in resource names, `connections/{id}`; never to be used again for another account."""
    vendor: str
    """Whose adapter serves it."""
    display_name: str = ""
    """For people."""
    timeouts: TimeoutSettings = TimeoutSettings()
    """How long the vendor may take."""
    policy: Policy = Policy()
    """How much at once, how often again, and when not at all; its keys: `adapters/policy.py`."""
    rates: dict[str, Rate] = msgspec.field(default_factory=dict)
    """How many calls are sent in a time, by class: `reads`, `writes`, and what the vendor counts by itself, for which
    see its README. For example `reads = {calls = 100, period_s = 60}`; `period_s` is 60 unless given. In place of what
    the adapter knows of the vendor; `calls = 0`: no limit. After a 429 fewer are sent, whatever stands here."""
    allow_plain_http: bool = False
    """Whether the vendor's addresses may be http beyond this machine: what is sent there, credentials too, can be
    read on its way."""


class ConfiguredConnection(ConnectionKeys, kw_only=True, frozen=True):
    """A connection with its vendor's own keys."""

    settings: msgspec.Struct
    """An instance of the adapter's `Settings`."""


class Settings(msgspec.Struct, kw_only=True, frozen=True):
    """The whole file."""

    listen: Listen = "127.0.0.1:50051"
    """HOST:PORT, [IPv6]:PORT or unix:/path. Any but loopback and a socket file needs `[tls]` and `[[callers]]`."""
    server: ServerSettings = ServerSettings()
    """How calls are served."""
    ledger: LedgerSettings = LedgerSettings(store="memory")
    """Where it is recorded what was sent. A file without this table: `sqlite`."""
    redis: RedisSettings | None = None
    """Without it each replica counts its own calls."""
    tls: TlsSettings | None = None
    """Without it calls come in clear."""
    callers: tuple[ConfiguredCaller, ...] = ()
    """Without any, whoever reaches the address may do everything."""
    connections: Annotated[tuple[ConfiguredConnection, ...], Meta(min_length=1)]
    """The accounts that the gateway serves."""


def load(path: Path, environ: Mapping[str, str], adapters: Adapters | None = None) -> Settings:
    """Read the configuration file; *adapters* are those registered unless given.

    Raises:
        SettingsError: With every mistake of the file.
    """
    try:
        document = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise SettingsError(str(path), [Mistake("", f"can't be read: {error.strerror}")]) from None
    except ValueError as error:
        raise SettingsError(str(path), [Mistake("", f"is not TOML: {error}")]) from None
    references = _References(path.parent, environ)
    decoder = Decoder(
        {
            Path: references.path,
            Secret: references.secret,
            ConfiguredConnection: _Vendors(registry.adapters() if adapters is None else adapters).connection,
        }
    )
    settings = decoder.struct(Settings, document)
    decoder.mistakes += contradictions(document)
    if settings is not None and settings.tls is not None:
        decoder.mistakes += tls_mistakes(settings.tls.certificate, settings.tls.key, settings.tls.client_ca)
    if settings is None or decoder.mistakes:
        # An adapter words its own mistakes, and might put more into them than it should.
        raise SettingsError(str(path), [Mistake(key, references.masked(text)) for key, text in decoder.mistakes])
    ledger = settings.ledger if "ledger" in document else LedgerSettings()
    folder = str(path.parent.absolute() / ledger.directory)
    return replace(settings, ledger=replace(ledger, directory=folder))


def connection_in_plain_text(keys: Mapping[str, object], adapters: Adapters | None = None) -> ConfiguredConnection:
    """Read the keys of a connection whose secrets stand there themselves, as those of a simulator do.

    Raises:
        SettingsError: The vendor is not registered, or they are not its keys.
    """
    vendors = _Vendors(registry.adapters() if adapters is None else adapters)
    decoder = Decoder({Secret: lambda _, value, __: Secret(str(value))})
    connection = vendors.connection(decoder, dict(keys), "")
    if connection is None or decoder.mistakes:
        raise SettingsError("connection", decoder.mistakes)
    return connection


class _Vendors:
    """Reads connections, each with the settings of its vendor."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters

    def connection(self, decoder: Decoder, value: object, key: str) -> ConfiguredConnection | None:
        """Read one connection."""
        table = value if isinstance(value, dict) else {}
        adapter = self._adapters.get(str(table.get("vendor")))
        common = {field.name for field in msgspec.structs.fields(ConnectionKeys)}
        # Of a vendor that nobody knows, nobody knows the keys.
        own = {field.encode_name for field in msgspec.structs.fields(adapter.Settings)} if adapter else set(table)
        keys = decoder.struct(ConnectionKeys, value, key, others=sorted(own - common))
        if adapter is None:
            if isinstance(table.get("vendor"), str):
                place = f"{key}.vendor" if key else "vendor"
                decoder.note(place, f"no such vendor; there are {', '.join(self._adapters)}")
            return None
        theirs = {name: item for name, item in table.items() if name in own - common}
        settings = decoder.struct(adapter.Settings, theirs, key)
        if issubclass(adapter.Settings, ConnectionSettings):
            for text in adapter.Settings.contradictions(theirs):
                decoder.note(key, text)
        kinds = (*BOTH, *adapter.rates)
        rates = table.get("rates")
        for kind in rates if isinstance(rates, dict) else ():
            if kind not in kinds:
                decoder.note(join(join(key, "rates"), kind), f"no such class of calls; there are {', '.join(kinds)}")
        for field in msgspec.structs.fields(adapter.Settings):
            if (
                ADDRESS in unwrapped(field.type)[1]
                and isinstance(address := theirs.get(field.encode_name), str)
                and is_address(address)
                and is_in_clear(address)
                and table.get("allow_plain_http") is not True
            ):
                decoder.note(join(key, field.encode_name), IN_CLEAR)
        if keys is None or settings is None:
            return None
        return ConfiguredConnection(**msgspec.structs.asdict(keys), settings=settings)


class _References:
    """Reads what stands outside the file."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._environ = environ
        self._secrets: list[str] = []

    def path(self, _: Decoder, value: object, __: str) -> Path:
        """Return the path of a file that can be read."""
        if not isinstance(value, str) or not value:
            raise ValueError("must be the path of a file")
        path = self._folder / value
        _contents(path)
        return path

    def secret(self, _: Decoder, value: object, __: str) -> Secret:
        """Return the secret that a reference leads to."""
        match value:
            case {"env": str(name), **others} if not others:
                text = self._environ.get(name)
                shown = f" {name}" if _VARIABLE.fullmatch(name) else ""
                what = f"the environment variable{shown}"
                if text is None:
                    raise ValueError(f"{what} is not set")
            case {"file": str(name), **others} if not others:
                what = "the file"
                try:
                    text = _contents(self._folder / name).decode().removesuffix("\n").removesuffix("\r")
                except UnicodeDecodeError:
                    raise ValueError("the file is not UTF-8") from None
            case _:
                raise ValueError('must be {env = "NAME"} or {file = "path"}, never the secret itself')
        if not text:
            raise ValueError(f"{what} is empty")
        self._secrets.append(text)
        return Secret(text)

    def masked(self, text: str) -> str:
        """Return *text* without the secrets that were read."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise ValueError(f"the file can't be read: {getattr(error, 'strerror', 'not a path')}") from None
