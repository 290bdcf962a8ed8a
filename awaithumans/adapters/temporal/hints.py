"""How word of a decision reaches the workflow that waits for it.

Only word: the workflow reads the task itself, so a forged, doubled or late
hint does nothing, and a lost one costs time.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

import anyio
from temporalio.client import (
    Client,
    RPCError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.service import RPCStatusCode

from awaithumans.errors import InvalidRoutingError
from awaithumans.protocols import DeliveryError
from awaithumans.receiving import received_outcome
from awaithumans.signing import WebhookKey
from awaithumans.types import JsonObject, Notice
from awaithumans.wire import outcome_to_wire

logger = logging.getLogger("awaithumans.temporal")

DECIDED = "awaithumans_decided"
"""The update that tells a workflow of ours which task is closed; it replies whether it waits for that."""

MAX_WORKFLOW_ID = 1_000

_ACKNOWLEDGED_WITHIN = 5.0
_CALL = timedelta(seconds=5)


def signal_name(idempotency_key: str) -> str:
    """Name the signal that tells of a decision in the wire format."""
    return f"awaithumans:{idempotency_key}"


class TemporalChannel:
    """Tells the workflow that asked of the decision: `temporal:<workflow id>`.

    Arguments:
        client: a client of the workflows' namespace; it stays the caller's.

    A workflow that waits for the task in `await_human` gets an update, which
    it acknowledges, once per decision. Any other, and one whose worker does
    not reply within seconds, gets the signal of the wire format, which waits
    in its history. A workflow that is closed needs no word; one that there never
    was is a permanent failure.
    """

    name = "temporal"
    for_agents = True

    def __init__(self, client: Client) -> None:
        self._client = client

    def check(self, target: str) -> None:
        """Take any workflow id."""
        if len(target) > MAX_WORKFLOW_ID:
            raise InvalidRoutingError("callback_url", f"a workflow id has at most {MAX_WORKFLOW_ID} characters")

    async def send(self, notice: Notice) -> None:
        """Tell the workflow, if the task is closed."""
        if notice.event != "closed":
            return
        try:
            found = await _tell(self._client, notice.target, outcome_to_wire(notice.task))
        except RPCError as error:
            hopeless = error.status is RPCStatusCode.INVALID_ARGUMENT  # such as a response that is too large
            raise DeliveryError(f"Temporal cannot be told: {error.status.name}", permanent=hopeless) from error
        if not found:
            raise DeliveryError(f"there is no workflow {notice.target[:200]!r}", permanent=True)


async def dispatch_signal(
    *,
    temporal_client: Client,
    workflow_id: str,
    body: bytes,
    signature_header: str | None,
    webhook_key: WebhookKey | str | None = None,
) -> None:
    """Hand a webhook that was received on to the workflow it is for.

    Arguments:
        temporal_client: a client of the workflow's namespace.
        workflow_id: which workflow; from the address the webhook came to.
        body: the raw request body.
        signature_header: its `X-Awaithumans-Signature`; None if it is missing.
        webhook_key: what webhooks are signed with; by default the
            environment's AWAITHUMANS_PAYLOAD_KEY.

    The workflow is told like by `TemporalChannel`. Returns, too, if it is
    closed or unknown: no repetition helps.

    Raises `InvalidSignatureError`, a `PermissionError`, for what was not signed
    with the key; `InvalidInputError`, a `ValueError`, for a body that tells of
    no task; `ConfigurationError` without a key; and Temporal's `RPCError` if it
    cannot be reached: answer with a status from 500 on, and the webhook comes
    again.
    """
    outcome = received_outcome(body, signature_header, webhook_key)
    if not await _tell(temporal_client, workflow_id, outcome):
        logger.warning("task %s: there is no workflow %r to tell", outcome["task_id"], workflow_id)


async def _tell(client: Client, workflow_id: str, outcome: JsonObject) -> bool:
    """Tell the workflow, or find it closed; tell whether there is such a workflow."""
    workflow = client.get_workflow_handle(workflow_id)
    try:
        if not await _acknowledged(workflow, str(outcome["task_id"])):
            await workflow.signal(signal_name(str(outcome["idempotency_key"])), dict(outcome), rpc_timeout=_CALL)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return await _exists(workflow)
    return True


async def _acknowledged(workflow: WorkflowHandle[object, object], task_id: str) -> bool:
    """Tell by the update, which is made once for a task; say whether `await_human` waits for it there.

    A workflow without `await_human` refuses the update, or takes it for one of
    its own; one that waits for another task says so; one without a worker does
    not reply.
    """
    with anyio.move_on_after(_ACKNOWLEDGED_WITHIN):
        try:
            reply: object = await workflow.execute_update(  # pyright: ignore[reportUnknownMemberType]
                DECIDED, task_id, id=task_id, rpc_timeout=_CALL
            )
        except WorkflowUpdateFailedError:
            return False
        except WorkflowUpdateRPCTimeoutOrCancelledError as error:
            if isinstance(error.__cause__, asyncio.CancelledError):
                raise error.__cause__ from None
            return False
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise
            return False
        return reply is True
    return False


async def _exists(workflow: WorkflowHandle[object, object]) -> bool:
    try:
        await workflow.describe(rpc_timeout=_CALL)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True
