"""The tables of the ledger, and the revision of `migrations/` that they stand for."""

from sqlalchemy import BigInteger, Column, Double, Index, Integer, LargeBinary, MetaData, String, Table, Text, text

HEAD = "0001"
"""The newest revision. A migration only ever adds: during an update older replicas go on over the newer schema."""
METADATA = MetaData()

CALLS = Table(
    "calls",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("caller", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("parent", Text, nullable=False),
    # Empty in what is entered now: `fingerprint` is made with it, and could be guessed at by whoever has both.
    Column("request_id", Text),
    # Of the four above, which together may be longer than an index takes; null where there is no request id.
    Column("scope", LargeBinary(32)),
    Column("place", BigInteger, nullable=False),
    # Of what was asked for, under the request id: what is asked for may be one member.
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("connection", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("wanted", LargeBinary),
    Column("result", LargeBinary),
    Column("status", LargeBinary),
    Column("resource", Text),
    Column("resource_key", LargeBinary(32)),
    Column("owner", Text),
    Column("lease_until", Double),
    Column("looks", Integer, nullable=False),
    Column("next_look_at", Double),
    Column("created_at", Double, nullable=False),
    Column("sent_at", Double),
    Column("unknown_at", Double),
    Column("settled_at", Double),
    # A request id is answered once, and a vendor's resource is what one call alone came to.
    Index("calls_scope", "scope", "place", unique=True),
    Index("calls_resource", "resource_key", unique=True),
    Index("calls_started", "connection", "created_at", "id"),
    Index("calls_settled", "settled_at"),
    *(
        Index(
            f"calls_{name}",
            name,
            sqlite_where=text(f"{name} IS NOT NULL"),
            postgresql_where=text(f"{name} IS NOT NULL"),
        )
        for name in ("lease_until", "next_look_at", "unknown_at")
    ),
)
"""One row a mutating call. All times are epoch seconds."""

LEASES = Table(
    "leases",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("until", Double, nullable=False),
)
"""Who does what one replica alone should do."""
