"""Where the router is mounted, and addresses below that place."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.types import Scope


def mount_of(request: Request) -> str:
    """Return the path in front of all of ours, "" at the root."""
    return _mount(request.scope)


def url(request: Request, path: str, query: Mapping[str, str] | None = None) -> str:
    """Return the path of one of our addresses, as the browser must send it."""
    parameters = f"?{urlencode(query)}" if query else ""
    return f"{quote(mount_of(request))}{quote(path)}{parameters}"


def located(scope: Scope) -> Scope:
    """Return the scope with a path every host agrees on.

    Hosts differ on whether `path` repeats `root_path`, and on the slash after
    a mounted path. The copy leaves the host's own scope as it is, and its
    exception handlers out.
    """
    mount = _mount(scope)
    inner = "/" + _below(scope["path"], mount, str(scope.get("app_root_path", ""))).strip("/")
    handlers: tuple[dict[object, object], dict[object, object]] = ({}, {})
    return {**scope, "root_path": mount, "path": mount + inner, "starlette.exception_handlers": handlers}


def _below(path: str, mount: str, before_host: str) -> str:
    """Cut the mount point off; a proxy may have cut off the part `before_host`."""
    for prefix in filter(None, (mount, mount.removeprefix(before_host.rstrip("/")))):
        if path == prefix or path.startswith(f"{prefix}/"):
            return path[len(prefix) :]
    return path


def _mount(scope: Scope) -> str:
    inner = str(scope.get("root_path", "")).strip("/")
    return f"/{inner}" if inner else ""
