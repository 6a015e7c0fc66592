"""What alembic runs: the revisions, over the connection that `gateway.ledger.migrating` hands in."""

from alembic import context

# The transaction, and the lock in it, are the caller's.
context.configure(connection=context.config.attributes["connection"], transactional_ddl=False)
context.run_migrations()
