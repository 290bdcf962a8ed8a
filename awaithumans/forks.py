"""What a forked process must not take over from its parent.

Threads do not live on in a fork: a lock that one of them held stays locked
for ever, an event loop that ran in one never runs again, and a connection to
a database is still the parent's.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forgetful(Protocol):
    """Something that holds what belongs to one process."""

    def forget(self) -> None:
        """Start anew, in a process that has just been forked."""
        ...


_forgetful: WeakSet[Forgetful] = WeakSet()


def forget_in_forks(thing: Forgetful) -> None:
    """Call `thing.forget()` in each process that this one forks."""
    _forgetful.add(thing)


def _forget() -> None:
    for thing in tuple(_forgetful):
        thing.forget()


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_child=_forget)
