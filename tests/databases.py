"""The databases and drivers that the tests go through."""

from __future__ import annotations

from sqlalchemy import URL, make_url

SYNC_DRIVERS = ("sqlite", "postgresql+psycopg", "mariadb+pymysql")
ASYNC_DRIVERS = ("sqlite+aiosqlite", "postgresql+psycopg_async", "postgresql+asyncpg", "mariadb+asyncmy")

EACH_DATABASE = [("asyncio", driver) for driver in SYNC_DRIVERS]
EVERYWHERE = [("asyncio", driver) for driver in (*SYNC_DRIVERS, *ASYNC_DRIVERS)] + [
    ("trio", driver) for driver in SYNC_DRIVERS
]
POSTGRES = [(backend, driver) for backend, driver in EVERYWHERE if driver.startswith("postgresql")]
MARIADB = [(backend, driver) for backend, driver in EVERYWHERE if driver.startswith("mariadb")]
SERVERS = [*POSTGRES, *MARIADB]
ASYNC_SERVERS = [(backend, driver) for backend, driver in SERVERS if driver in ASYNC_DRIVERS]

_PLAIN = {driver.partition("+")[0]: driver for driver in SYNC_DRIVERS}


def plain(url: str | URL) -> URL:
    """Return the same address for a driver without asyncio."""
    url = make_url(url)
    return url.set(drivername=_PLAIN[url.get_backend_name()])
