"""Where the router is mounted, and addresses below that place."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, unquote, urlencode

from starlette.requests import Request
from starlette.types import Scope


def mount_of(request: Request) -> str:
    """Return the path in front of all of ours, "" at the root."""
    return str(request.scope["root_path"])


def url(request: Request, path: str, query: Mapping[str, str] | None = None) -> str:
    """Return the path of one of our addresses, as the browser must send it."""
    parameters = f"?{urlencode(query)}" if query else ""
    return f"{quote(mount_of(request))}{quote(path)}{parameters}"


def located(scope: Scope) -> Scope:
    """Return the scope with a place and a path on which all hosts would agree.

    They differ on whether `path` repeats `root_path`, on the slash after a
    mounted path, and on whether they say at all where they mounted. The copy
    leaves the host's own scope as it is, and its exception handlers out.
    """
    mount, path = _split(scope)
    inner = "/" + path.strip("/")
    handlers: tuple[dict[object, object], dict[object, object]] = ({}, {})
    return {**scope, "root_path": mount, "path": mount + inner, "starlette.exception_handlers": handlers}


def _split(scope: Scope) -> tuple[str, str]:
    """Part what was asked for into where we are, and what is asked of us."""
    told = _tidy(str(scope.get("root_path", "")))
    cut = _cut_off(scope)
    if f"{told}/".startswith(f"{cut}/") or told.endswith(cut):
        return told, _below(scope["path"], told, str(scope.get("app_root_path", "")))
    return (cut if f"{cut}/".startswith(f"{told}/") else told + cut), scope["path"]


def _cut_off(scope: Scope) -> str:
    """Return what is missing in front of `path`.

    Litestar cuts its mount point off without a word in `root_path`.
    """
    asked = _tidy(unquote(bytes(scope.get("raw_path") or b"").partition(b"?")[0]))
    path = _tidy(scope["path"])
    return asked.removesuffix(path) if asked.endswith(path) else ""


def _below(path: str, mount: str, before_host: str) -> str:
    """Cut the mount point off; a proxy may have cut off the part `before_host`."""
    for prefix in filter(None, (mount, mount.removeprefix(before_host.rstrip("/")))):
        if path == prefix or path.startswith(f"{prefix}/"):
            return path[len(prefix) :]
    return path


def _tidy(path: str) -> str:
    """Put one slash before each word and none behind; the root is "".

    Two slashes in front would make a link lead to another site.
    """
    return "".join(f"/{word}" for word in path.split("/") if word)
