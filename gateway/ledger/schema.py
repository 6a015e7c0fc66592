"""The tables of the ledger, and the revision of `migrations/` that they stand for."""

from sqlalchemy import BigInteger, Column, Double, Index, Integer, LargeBinary, MetaData, String, Table, Text, text

HEAD = "0002"
"""The newest revision. A migration only ever adds: during an update older replicas go on over the newer schema."""
METADATA = MetaData()
NO_JOB = "kind NOT IN ('ExportJob', 'UploadedFile')"
"""In the words of an index: a statement has to have the same ones, and no parameters, to use it."""

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
        Index(f"calls_{name}", column, sqlite_where=text(which), postgresql_where=text(which))
        for name, column, which in (
            ("lease_until", "lease_until", "lease_until IS NOT NULL"),
            ("next_look_at", "next_look_at", "next_look_at IS NOT NULL"),
            ("unknown_at", "unknown_at", "unknown_at IS NOT NULL"),
            ("settled_ids", "settled_at", "scope IS NOT NULL"),
            ("settled_no_job", "settled_at", NO_JOB),
        )
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
