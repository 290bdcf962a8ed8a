"""Request bodies that only this API has; the wire format's own are in `wire.py`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr

from awaithumans.leases import MAX_HOLDER, MAX_NAME, MAX_SECONDS
from awaithumans.types import ColorScheme
from awaithumans.wire import whole

MAX_EMBED_SECONDS = 3_600


class ReassignBody(BaseModel):
    """What `POST /tasks/{id}/reassign` takes."""

    model_config = ConfigDict(extra="forbid")

    assign_to: Annotated[dict[StrictStr, object], Field(min_length=1)]


class EmbedBody(BaseModel):
    """What `POST /embed/tokens` takes."""

    model_config = ConfigDict(extra="forbid")

    task_id: Annotated[StrictStr, Field(min_length=1, max_length=64)]
    parent_origin: Annotated[StrictStr, Field(min_length=1, max_length=256)]
    sub: Annotated[StrictStr, Field(min_length=1, max_length=256)]
    """Who it is for: an address that the directory knows."""
    ttl_seconds: Annotated[StrictInt, Field(ge=0), BeforeValidator(whole)] = 300
    """How long the page can be loaded; less than a minute is a minute, more than an hour is an hour."""
    color_scheme: ColorScheme | None = None
    """In which colours alone it is shown; by default in those that the browser is set to."""


class RedeliverBody(BaseModel):
    """What `POST /tasks/{id}/redeliver` takes."""

    model_config = ConfigDict(extra="forbid")

    id: StrictStr | None = None


class LeaseBody(BaseModel):
    """What `POST /leases` takes."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[StrictStr, Field(min_length=1, max_length=MAX_NAME)]
    holder: Annotated[StrictStr, Field(min_length=1, max_length=MAX_HOLDER)]
    seconds: Annotated[float, Field(strict=True, ge=0, le=MAX_SECONDS)]
