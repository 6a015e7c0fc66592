"""Calls and leases."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "calls",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("parent", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text),
        sa.Column("scope", sa.LargeBinary(32)),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(32), nullable=False),
        sa.Column("connection", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("wanted", sa.LargeBinary),
        sa.Column("result", sa.LargeBinary),
        sa.Column("status", sa.LargeBinary),
        sa.Column("resource", sa.Text),
        sa.Column("resource_key", sa.LargeBinary(32)),
        sa.Column("owner", sa.Text),
        sa.Column("lease_until", sa.Double),
        sa.Column("looks", sa.Integer, nullable=False),
        sa.Column("next_look_at", sa.Double),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("sent_at", sa.Double),
        sa.Column("unknown_at", sa.Double),
        sa.Column("settled_at", sa.Double),
    )
    op.create_index("calls_scope", "calls", ["scope", "place"], unique=True)
    op.create_index("calls_resource", "calls", ["resource_key"], unique=True)
    op.create_index("calls_started", "calls", ["connection", "created_at", "id"])
    op.create_index("calls_settled", "calls", ["settled_at"])
    for name in ("lease_until", "next_look_at", "unknown_at"):
        there = sa.text(f"{name} IS NOT NULL")
        op.create_index(f"calls_{name}", "calls", [name], sqlite_where=there, postgresql_where=there)
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
    )
