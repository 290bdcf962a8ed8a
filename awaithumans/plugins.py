"""What other packages bring: channels, stores and verifiers, by name.

A package registers what makes one, a class or a function, as an entry point
of its distribution:

```toml
[project.entry-points."awaithumans.channels"]
teams = "acme_teams:TeamsChannel"
```
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, TypeAlias, overload

from awaithumans.errors import ConfigurationError
from awaithumans.protocols import Channel, Store, Verifier

Kind: TypeAlias = Literal["channels", "stores", "verifiers"]


@overload
def load(kind: Literal["channels"], name: str) -> Callable[..., Channel]: ...
@overload
def load(kind: Literal["stores"], name: str) -> Callable[..., Store]: ...
@overload
def load(kind: Literal["verifiers"], name: str) -> Callable[..., Verifier]: ...
def load(kind: Kind, name: str) -> Callable[..., Any]:
    """Return what an installed package registers as `awaithumans.<kind>`.

    Call it as the package says, and pass on what it makes: nothing that is
    installed is used by itself. Raises `ConfigurationError` if there is none
    of this name, there are several, or it cannot be imported.
    """
    found = [point for point in _registered(kind) if point.name == name]
    if len({point.value for point in found}) != 1:
        raise ConfigurationError(_fault(kind, name, found), hint=_hint(kind))
    try:
        factory: object = found[0].load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{kind[:-1]} {name!r} cannot be imported from {found[0].value}: {error}") from error
    if not callable(factory):
        raise ConfigurationError(f"{kind[:-1]} {name!r} ({found[0].value}) is nothing that can be called")
    return factory


def names(kind: Kind) -> list[str]:
    """Return the names that installed packages register as `awaithumans.<kind>`."""
    return sorted({point.name for point in _registered(kind)})


def _registered(kind: Kind) -> list[EntryPoint]:
    return list(entry_points(group=f"awaithumans.{kind}"))


def _fault(kind: Kind, name: str, found: list[EntryPoint]) -> str:
    if not found:
        return f"no installed package has a {kind[:-1]} {name!r}"
    places = ", ".join(sorted({point.value for point in found}))
    return f"several packages have a {kind[:-1]} {name!r}: {places}"


def _hint(kind: Kind) -> str:
    known = names(kind)
    return f"Installed are: {', '.join(known)}." if known else f"Nothing installed registers awaithumans.{kind}."
