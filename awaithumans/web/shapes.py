"""Request bodies that only this API has; the wire format's own are in `wire.py`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictStr


class ReassignBody(BaseModel):
    """What `POST /tasks/{id}/reassign` takes."""

    model_config = ConfigDict(extra="forbid")

    assign_to: Annotated[dict[StrictStr, object], Field(min_length=1)]
