"""Alembic's entry: run the migrations on the connection that `candlecast.store.migrate` hands over."""

from alembic import context

from candlecast.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
