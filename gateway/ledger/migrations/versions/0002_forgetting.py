"""Indexes of what is forgotten long before jobs are."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make both indexes."""
    for name, which in {
        "ids": "scope IS NOT NULL",
        "no_job": "kind NOT IN ('ExportJob', 'UploadedFile')",
    }.items():
        there = sa.text(which)
        op.create_index(f"calls_settled_{name}", "calls", ["settled_at"], sqlite_where=there, postgresql_where=there)
