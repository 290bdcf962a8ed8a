"""What Alembic runs: the migrations, on the connection it is handed."""

from alembic import context

from awaithumans.stores.migrations import VERSION_TABLE
from awaithumans.stores.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
