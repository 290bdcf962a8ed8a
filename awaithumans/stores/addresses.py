"""A database by the address that an operator gives: read, opened, or refused in one line."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from awaithumans.errors import AwaitHumansError, ConfigurationError

_MAX_REASON = 500
_HINT = "Check the address, the name and the password, and that the server is up."
_FILE_HINT = "Check the path, and that this user may read and write there."


def read_address(address: str, *, existing: bool) -> URL:
    """Read a database's address, without repeating it where it is wrong.

    Only an SQLite file can be told not to exist; with `existing` it has to.
    Raises `ConfigurationError`.
    """
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise _unreadable() from None
    if "@" in (url.host or ""):
        raise _unreadable()
    if existing and url.get_backend_name() == "sqlite" and _is_missing(url.database or ""):
        raise ConfigurationError(
            f"there is no file {url.database}",
            hint="Check the path. To make a new database there, run: python -m awaithumans migrate",
        )
    return url


@contextmanager
def faults_explained(url: URL) -> Generator[None]:
    """Raise `ConfigurationError` for what the database or its driver refuses in the block.

    Its message has neither the password nor a statement.
    """
    try:
        yield
    except AwaitHumansError:
        raise
    except Exception as error:
        if not _is_the_databases(error, url):
            raise
        named = url.set(query={}).render_as_string(hide_password=True)
        hint = _FILE_HINT if url.get_backend_name() == "sqlite" else _HINT
        raise ConfigurationError(f"{named} cannot be used: {_reason(error)}", hint=hint) from error


def _unreadable() -> ConfigurationError:
    return ConfigurationError(
        "the database's address cannot be read",
        hint="Write it like postgresql://user:password@host/database, with @ : / in the password as %40 %3A %2F, "
        "or like sqlite:////path/to/tasks.db.",
    )


def _is_missing(path: str) -> bool:
    in_memory = path in {"", ":memory:"}  # which the store refuses, and says why
    return not (in_memory or path.startswith("file:") or Path(path).exists())


def _is_the_databases(error: Exception, url: URL) -> bool:
    """Tell whether database, driver or network raised this, or an option that the driver does not take.

    Some async drivers raise errors of their own from connecting, past SQLAlchemy.
    """
    driver = type(error).__module__.partition(".")[0] == url.get_driver_name()
    option = bool(url.query) and isinstance(error, TypeError | ValueError)
    return driver or option or isinstance(error, SQLAlchemyError | OSError)


def _reason(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return " ".join(str(cause).split())[:_MAX_REASON] or type(cause).__name__
