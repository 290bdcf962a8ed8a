"""What an adapter makes of a webhook that its host received."""

from __future__ import annotations

import os
from typing import cast

from awaithumans.documents import loads
from awaithumans.errors import ConfigurationError, InvalidInputError, InvalidSignatureError
from awaithumans.signing import WebhookKey, verify_signature
from awaithumans.types import JsonObject

KEY_VARIABLE = "AWAITHUMANS_PAYLOAD_KEY"


def received_outcome(body: bytes, signature_header: str | None, key: WebhookKey | str | None) -> JsonObject:
    """Read a genuine webhook: at least `task_id` and `idempotency_key`.

    `key` is by default the environment's AWAITHUMANS_PAYLOAD_KEY. Raises
    `InvalidSignatureError` for what was not signed with it, `InvalidInputError`
    for a body that tells of no task, and `ConfigurationError` without a key.
    """
    key = key or os.environ.get(KEY_VARIABLE)
    if not key:
        raise ConfigurationError(
            "there is no key to check webhooks with", hint=f"Pass webhook_key=, or set {KEY_VARIABLE}."
        )
    if not verify_signature(body=body, signature=signature_header, key=key):
        raise InvalidSignatureError
    match loads(body):
        case {"task_id": str(), "idempotency_key": str()} as outcome:
            return cast(JsonObject, outcome)
        case _:
            raise InvalidInputError("the webhook tells of no task: it has no task_id or no idempotency_key")
