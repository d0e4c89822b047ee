"""Telling a database that is away, or busy, from a fault of ours."""

from __future__ import annotations

from importlib.util import find_spec

from tortoise.exceptions import BaseORMException, DBConnectionError, OperationalError, TransactionManagementError


def outage_errors() -> tuple[type[Exception], ...]:
    """Return what a statement raises that may well succeed later: server gone, restarting, locked, out of room."""
    ours = (OSError, DBConnectionError, OperationalError, TransactionManagementError)
    if find_spec("asyncpg") is None:
        return ours
    import asyncpg  # Only hosts on PostgreSQL have it.

    return (
        *ours,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        asyncpg.InsufficientResourcesError,
        asyncpg.InternalServerError,
        asyncpg.InvalidAuthorizationSpecificationError,
        asyncpg.InvalidCatalogNameError,
        asyncpg.ObjectNotInPrerequisiteStateError,
        asyncpg.OperatorInterventionError,
        asyncpg.PostgresConnectionError,
        asyncpg.PostgresSystemError,
        asyncpg.TransactionRollbackError,
    )


def database_errors(*others: type[BaseException]) -> tuple[type[BaseException], ...]:
    """Return all that the database raises, outages and what it refuses, and `others` to be caught with it."""
    ours = (BaseORMException, *outage_errors(), *others)
    if find_spec("asyncpg") is None:
        return ours
    import asyncpg  # Only hosts on PostgreSQL have it.

    return (*ours, asyncpg.PostgresError)
