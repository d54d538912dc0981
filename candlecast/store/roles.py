"""A database user per program, each with the rights that its program needs: what is taken over cannot do more.

All of them read everything, which holds no secret. What each may write is `RIGHTS`; nobody but the owner changes the
schema, and nobody at all changes or deletes a row of the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping

from psycopg2.extensions import encrypt_password
from sqlalchemy import Connection, text

_RUNS = {"job_run": "INSERT, UPDATE", "run_log": "INSERT, UPDATE", "run_request": "INSERT, UPDATE"}
_SHARED_RUNS = {**_RUNS, "run_part": "INSERT, UPDATE, DELETE"}
_RETRAINING = {"retraining_decision": "INSERT, UPDATE"}

RIGHTS: Mapping[str, Mapping[str, str]] = {
    "ingest": {
        "series": "INSERT, UPDATE",
        "candle": "INSERT, UPDATE, DELETE",
        "candle_correction": "INSERT",
        "confirmed_gap": "INSERT, DELETE",
        "series_audit": "INSERT, UPDATE",
        "source_status": "INSERT, UPDATE",
        "archive_file": "INSERT, UPDATE",
        "last_price": "INSERT, UPDATE",
        "venue_status": "INSERT, UPDATE",
        **_SHARED_RUNS,
    },
    "train": {
        "series": "INSERT, UPDATE",
        "model_version": "INSERT",
        "model_artifact": "INSERT",
        "champion": "INSERT, UPDATE",
        "evaluation": "INSERT",
        "evaluation_forecast": "INSERT",
        "trial": "INSERT",
        **_RETRAINING,
        **_SHARED_RUNS,
    },
    "serve": {
        "series": "INSERT",
        "forecast": "INSERT",
        "model_version": "INSERT",
        "champion": "INSERT, UPDATE",
        "run_request": "INSERT, UPDATE",
        "venue_status": "INSERT",
    },
    "monitor": {"drift_report": "INSERT, UPDATE", **_RETRAINING, **_RUNS},
    "dispatch": {"run_request": "INSERT, UPDATE"},
    "retain": {
        "job_run": "INSERT, UPDATE, DELETE",
        "run_log": "INSERT, UPDATE",
        "pruned_run": "INSERT, UPDATE",
        "run_request": "INSERT, UPDATE, DELETE",
        "retraining_decision": "DELETE",
        "drift_report": "UPDATE",
        "model_artifact": "DELETE",
        "evaluation_forecast": "DELETE",
        "candle": "DELETE",
    },
    "read": {},
}
"""What each user may do with which table, beside reading all of them."""


def role_name(prefix: str, role: str) -> str:
    """Return the name of a database user, such as `candlecast_ingest`."""
    return f"{prefix}_{role}"


def grant_roles(connection: Connection, prefix: str, passwords: Mapping[str, str]) -> list[str]:
    """Make the users that are missing, set the passwords that are given, and give each exactly its rights.

    Return the names. Needs the owner of the tables, and the right to create roles where some are missing. A user
    without a password cannot log in; those who are to act as it can be made its members. Safe to run again.
    """
    for role, rights in RIGHTS.items():
        name = role_name(prefix, role)
        _require_role(connection, name)
        if password := passwords.get(role):
            _set_password(connection, name, password)
        _grant(connection, name, rights)
    return [role_name(prefix, role) for role in RIGHTS]


def _require_role(connection: Connection, name: str) -> None:
    if not connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": name}).first():
        _execute(connection, "CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE", name)


def _set_password(connection: Connection, name: str, password: str) -> None:
    # Encrypted here: the words of the statement may end in the server's log.
    driver = connection.connection.driver_connection
    secret = encrypt_password(password, name, scope=driver, algorithm="scram-sha-256")
    _execute(connection, "ALTER ROLE %I LOGIN PASSWORD %L", name, secret)


def _grant(connection: Connection, name: str, rights: Mapping[str, str]) -> None:
    place = connection.execute(text("SELECT current_schema()")).scalar_one()
    _execute(connection, "REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I", place, name)
    _execute(connection, "GRANT USAGE ON SCHEMA %I TO %I", place, name)
    _execute(connection, "GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %I", place, name)
    for table, privileges in rights.items():
        _execute(connection, f"GRANT {privileges} ON %I TO %I", table, name)


def _execute(connection: Connection, statement: str, *names: str) -> None:
    """Execute a statement that takes no parameters, with names (%I) and literals (%L) quoted by Postgres itself."""
    values = {f"n{number}": name for number, name in enumerate(names)}
    places = ", ".join(f"CAST(:{place} AS text)" for place in values)
    quote = text(f"SELECT format(:statement, {places})")  # names of parameters
    connection.exec_driver_sql(connection.execute(quote, {"statement": statement, **values}).scalar_one())
