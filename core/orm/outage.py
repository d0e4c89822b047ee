"""Telling a database that is away, or busy, from a fault of ours."""

from __future__ import annotations

import sqlite3
import sys
from typing import Any

from tortoise.exceptions import BaseORMException, DBConnectionError, OperationalError, TransactionManagementError


def outage_errors() -> tuple[type[Exception], ...]:
    """Return what a statement raises that may well succeed later: server gone, restarting, locked, out of room.

    What is refused for good raises some of them too, and so does a record that is not there; `is_outage` tells which.
    """
    ours = (OSError, DBConnectionError, OperationalError, TransactionManagementError)
    asyncpg = _asyncpg()
    if asyncpg is None:
        return ours
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


def is_outage(error: BaseException) -> bool:
    """Whether the same statement may well succeed later; False where it is wrong, and so a fault of ours."""
    if isinstance(error, OperationalError) and type(error) is not OperationalError:
        return False  # The ORM's own words for a broken rule of a table, a record that is not there, and their like.
    told = error.args[0] if isinstance(error, BaseORMException) and error.args else error
    return isinstance(error, outage_errors()) and not _is_senseless(told)


def _is_senseless(told: object) -> bool:
    """Whether the database says of a statement that it does not read, fits no table, or has a value of a wrong type."""
    if isinstance(told, sqlite3.Error):
        return getattr(told, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    asyncpg = _asyncpg()
    if asyncpg is None:
        return False
    # A right that was revoked is given back; it says nothing of the statement.
    return isinstance(told, (asyncpg.SyntaxOrAccessError, asyncpg.DataError)) and not isinstance(
        told, asyncpg.InsufficientPrivilegeError
    )


def database_errors(*others: type[BaseException]) -> tuple[type[BaseException], ...]:
    """Return all that the database raises, outages and what it refuses, and `others` to be caught with it."""
    ours: tuple[type[BaseException], ...] = (BaseORMException, sqlite3.Error, *outage_errors(), *others)
    asyncpg = _asyncpg()
    return ours if asyncpg is None else (*ours, asyncpg.PostgresError)


def _asyncpg() -> Any:
    """Return the driver of PostgreSQL where it is in use; what was never imported raises nothing.

    It is not imported here: whoever asks may be out of file descriptors.
    """
    return sys.modules.get("asyncpg")
