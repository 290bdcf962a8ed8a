"""What may be written into a workflow's history."""

from __future__ import annotations

from temporalio.converter import PayloadConverter

from awaithumans.documents import ensure_json
from awaithumans.errors import BodyTooLargeError

MAX_BYTES = 1_500_000
"""Of one value, as JSON. Temporal takes 2 MiB, of what a payload codec makes of it."""


def ensure_recordable(value: object, name: str, converter: PayloadConverter) -> None:
    """Raise `InvalidInputError` for what a history cannot hold.

    Temporal would try without end to write it. A value that is too large is a
    `BodyTooLargeError`; `name` is what it is called there.
    """
    ensure_json(value, name)
    size = sum(len(payload.data) for payload in converter.to_payloads([value]))
    if size > MAX_BYTES:
        raise BodyTooLargeError.described(
            f"{name} has {size} bytes, and a workflow's history takes at most {MAX_BYTES}",
            "Pass an id or a link instead of the content.",
        )
