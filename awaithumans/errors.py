"""Everything this library raises on purpose, in one hierarchy.

AwaitHumansError
├── ConfigurationError               something is not set up; the hint says what
│   └── StoreSchemaError             the database needs `setup()` or a newer release
├── InvalidInputError                what was passed in cannot be accepted
│   ├── TimeoutRangeError
│   ├── SchemaValidationError        payload or response does not fit its schema
│   ├── InvalidSchemaError
│   ├── InvalidRoutingError          `assign_to` or `notify` leads to nobody
│   ├── MarketplaceNotAvailableError
│   ├── VerifierUnknownError
│   └── BodyTooLargeError
├── OutcomeError                     the task closed without an answer
│   ├── TaskTimeoutError
│   ├── TaskCancelledError
│   ├── VerificationExhaustedError
│   └── ResponseRedactedError
├── ConflictError                    the task does not stand where the command needs it
│   ├── TaskAlreadyTerminalError
│   ├── TaskStillOpenError
│   ├── TaskAlreadyClaimedError
│   ├── AnswerUnderReviewError
│   ├── IdempotencyConflictError
│   └── TaskGoneError
├── TaskNotFoundError
├── BusyError                        too much at once; nothing was written, so try again
├── LeaseLostError                   somebody else may do now what the lease was for
├── GraphRunError                    a server's run of a graph did not end well
├── AccessError                      who acts may not do this
│   ├── NotAuthenticatedError
│   ├── InvalidSignatureError        a webhook that is not genuine
│   ├── ForbiddenError
│   └── SelfAnswerError
└── RemoteError                      a server could not be reached or said no
    ├── ServerUnreachableError
    ├── TaskCreateError
    ├── PollError
    └── LeaseError
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from awaithumans.words import words

if TYPE_CHECKING:
    from pydantic import ValidationError

DOCS = "docs/reference/errors.md"

_SERVER_BODY_LIMIT = 500
_QUOTE_LIMIT = 200


class AwaitHumansError(Exception):
    """Base of every error here.

    `code` is stable and also what the JSON API says; `hint` tells what to do;
    `docs_url` points to the section about this code; `status` is the HTTP
    status the API answers with.
    """

    code: ClassVar[str] = "INTERNAL_ERROR"
    anchor: ClassVar[str] = "internal-error"
    status: ClassVar[int] = 500
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = message
        self.hint = self.default_hint if hint is None else hint
        super().__init__(message)

    @property
    def docs_url(self) -> str:
        """Give the address of the documentation of this error."""
        return f"{DOCS}#{self.anchor}"

    def __str__(self) -> str:
        return "\n\n".join(part for part in (self.message, self.hint, f"Docs: {self.docs_url}") if part)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.hint), self.__dict__

    @classmethod
    def described(cls, message: str, hint: str | None = None) -> AwaitHumansError:
        """Make an error of this class from its words alone."""
        return _rebuild(cls, message, hint)


def _rebuild(cls: type[AwaitHumansError], message: str, hint: str | None) -> AwaitHumansError:
    error = cls.__new__(cls)
    AwaitHumansError.__init__(error, message, hint=hint)
    return error


class ConfigurationError(AwaitHumansError):
    """Something the call needs is not set up."""

    code = "CONFIGURATION"
    anchor = "configuration"


class StoreSchemaError(ConfigurationError):
    """The database's tables do not fit this release."""

    code = "STORE_SCHEMA"
    anchor = "store-schema"


class EncryptionError(ConfigurationError):
    """What is in the database cannot be decrypted with the secrets given.

    `place` is where it stands: table, row and column.
    """

    code = "ENCRYPTION"
    anchor = "encryption"

    def __init__(self, place: Sequence[str], fault: str, *, hint: str | None = None) -> None:
        self.place = tuple(place)
        super().__init__(f"{'/'.join(self.place)} {fault}", hint=hint)


class InvalidInputError(AwaitHumansError, ValueError):
    """What was passed in cannot be accepted; nothing was stored.

    `fields` maps the place of each fault ("response.amount") to what is wrong.
    """

    code = "INVALID_REQUEST"
    anchor = "invalid-request"
    status = 422
    fields: Mapping[str, str] = {}

    def __init__(self, message: str, *, hint: str | None = None, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message, hint=hint)
        self.fields = dict(fields or {})


class TimeoutRangeError(InvalidInputError):
    """`timeout_seconds` is not between one second and 366 days."""

    code = "TIMEOUT_OUT_OF_RANGE"
    anchor = "timeout-range"
    default_hint = "Pass timeout_seconds between 1 and 31622400 (366 days)."

    def __init__(self, timeout_seconds: object) -> None:
        self.timeout_seconds = timeout_seconds
        super().__init__(
            "timeout_seconds is out of range",
            fields={"timeout_seconds": "must be a whole number from 1 to 31622400"},
        )


class SchemaValidationError(InvalidInputError):
    """A payload or a response does not fit its schema."""

    code = "SCHEMA_VALIDATION_FAILED"
    anchor = "schema-validation"

    def __init__(self, field: str, details: str, *, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(
            f"the {field} does not fit its schema: {details}",
            hint=f"Correct the {field}, or change {field}_schema to allow it.",
            fields=fields,
        )

    @classmethod
    def of_fields(cls, field: str, fields: Mapping[str, str]) -> SchemaValidationError:
        """Make the error from messages by field path."""
        details = "; ".join(f"{path or field}: {message}" for path, message in fields.items())
        return cls(field, details, fields=fields)

    @classmethod
    def of_model(cls, field: str, error: ValidationError) -> SchemaValidationError:
        """Make the error from what Pydantic found."""
        return cls.of_fields(field, {".".join(map(str, fault["loc"])): fault["msg"] for fault in error.errors()})


class InvalidSchemaError(InvalidInputError):
    """A JSON Schema cannot be used."""

    code = "SCHEMA_INVALID"
    anchor = "schema-invalid"

    def __init__(self, field: str, details: str) -> None:
        super().__init__(
            f"{field} is not a usable JSON Schema: {details}",
            hint="Send a self-contained JSON Schema: local $ref only, patterns without look-around or back-references.",
            fields={field: details},
        )


class InvalidRoutingError(InvalidInputError):
    """`assign_to` or `notify` leads to nobody."""

    code = "ROUTING_INVALID"
    anchor = "routing-invalid"

    def __init__(self, field: str, details: str, *, hint: str | None = None) -> None:
        super().__init__(f"{field}: {details}", hint=hint, fields={field: details})


class MarketplaceNotAvailableError(InvalidInputError):
    """`assign_to` asks for a marketplace of people, and there is none."""

    code = "MARKETPLACE_NOT_AVAILABLE"
    anchor = "marketplace"
    default_hint = (
        "Assign the task to people of your own: an e-mail address, a list of them, or what your directory knows."
    )

    def __init__(self) -> None:
        super().__init__("there is no marketplace to assign tasks to")


class VerifierUnknownError(InvalidInputError):
    """The task names a verifier that the engine does not have."""

    code = "VERIFIER_PROVIDER_UNKNOWN"
    anchor = "verifier-provider-unknown"

    def __init__(self, provider: str) -> None:
        super().__init__(
            f"no verifier is registered for provider {provider!r}",
            hint=f"Pass Engine(verifiers={{{provider!r}: ...}}), or ask without a verifier.",
            fields={"verifier_config.provider": "unknown provider"},
        )


class VerifierConfigError(InvalidInputError):
    """The verifier does not take this configuration; `field` is the key of `verifier_config` that is at fault."""

    code = "VERIFIER_CONFIG_INVALID"
    anchor = "verifier-config-invalid"

    def __init__(self, field: str, fault: str, *, hint: str | None = None) -> None:
        place = f"verifier_config.{field}"
        super().__init__(f"{place} {fault}", hint=hint, fields={place: fault})


class BodyTooLargeError(InvalidInputError):
    """A request body is larger than the router accepts."""

    code = "BODY_TOO_LARGE"
    anchor = "body-too-large"
    status = 413

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the request body is larger than {limit} bytes",
            hint="Send a reference to large documents, or raise Router(max_body_bytes=...).",
        )


class OutcomeError(AwaitHumansError):
    """The task closed without an answer that the agent can use."""

    status = 409
    task_id: str | None = None
    """Which task, where it is known."""


class TaskTimeoutError(OutcomeError, TimeoutError):
    """Nobody answered before the deadline."""

    code = "TIMEOUT_EXCEEDED"
    anchor = "timeout"
    default_hint = "Allow more time with timeout_seconds, ask more people, or handle TaskTimeoutError as a 'no answer'."

    def __init__(self, task: str, timeout_seconds: int) -> None:
        super().__init__(f"nobody answered {_quoted(task)} within {timeout_seconds} s")


class TaskCancelledError(OutcomeError):
    """The task was cancelled before it was answered."""

    code = "TASK_CANCELLED"
    anchor = "task-cancelled"
    default_hint = "Somebody withdrew the question; the task's audit trail says who and why."

    def __init__(self, task: str) -> None:
        super().__init__(f"{_quoted(task)} was cancelled")


class VerificationExhaustedError(OutcomeError):
    """Every allowed answer was refused by the verifier.

    `attempts` is how many there were, `reason` why the last was refused.
    """

    code = "VERIFICATION_EXHAUSTED"
    anchor = "verification-exhausted"
    default_hint = (
        "Look at the refused answers on the task's page; loosen the verifier's instructions or allow more attempts."
    )

    def __init__(self, task: str, max_attempts: int, *, reason: str = "") -> None:
        self.attempts = max_attempts
        self.reason = reason
        because = f"; the last reason: {reason}" if reason else ""
        super().__init__(f"{_quoted(task)} was refused by its verifier {max_attempts} times{because}")


class ResponseRedactedError(OutcomeError):
    """The task was answered, and the answer has been erased since."""

    code = "RESPONSE_REDACTED"
    anchor = "response-redacted"
    default_hint = "Its spec asked for that: the response went out by webhook and was erased here."

    def __init__(self, task_id: str) -> None:
        super().__init__(f"the response to task {task_id} has been erased")


class ConflictError(AwaitHumansError):
    """The task does not stand where the command needs it to stand."""

    code = "CONFLICT"
    anchor = "conflict"
    status = 409


class TaskAlreadyTerminalError(ConflictError):
    """The task is closed; its outcome does not change any more."""

    code = "TASK_ALREADY_TERMINAL"
    anchor = "task-already-terminal"
    default_hint = "Read the task again to see its outcome; to ask once more, use another idempotency key."

    def __init__(self, task_id: str, status: str) -> None:
        super().__init__(f"task {task_id} is already {status}")


class TaskStillOpenError(ConflictError):
    """The task has no outcome yet."""

    code = "TASK_STILL_OPEN"
    anchor = "task-still-open"
    default_hint = "Wait for the outcome first."

    def __init__(self, task_id: str, status: str) -> None:
        super().__init__(f"task {task_id} is still {status}")


class TaskAlreadyClaimedError(ConflictError):
    """Somebody else has the task."""

    code = "TASK_ALREADY_CLAIMED"
    anchor = "task-already-claimed"
    default_hint = "Ask the one who has it to release it, or have an operator reassign it."

    def __init__(self, task_id: str, holder: str) -> None:
        super().__init__(f"task {task_id} is with {holder}")


class AnswerUnderReviewError(ConflictError):
    """An answer was given and is being checked."""

    code = "ANSWER_UNDER_REVIEW"
    anchor = "answer-under-review"
    default_hint = "Wait for the verdict; if the answer is refused, the task is open again."

    def __init__(self, task_id: str) -> None:
        super().__init__(f"an answer to task {task_id} is being checked")


class IdempotencyConflictError(ConflictError):
    """The idempotency key already names another question."""

    code = "IDEMPOTENCY_CONFLICT"
    anchor = "idempotency-conflict"
    default_hint = (
        "A key names one question: the same task text, payload, response schema and key scope, of one asker, and "
        "for a key of your own the same assign_to and verifier. Use a new key for another question."
    )

    def __init__(self, idempotency_key: str, task_id: str, *, hint: str | None = None) -> None:
        self.task_id = task_id
        super().__init__(f"idempotency key {_quoted(idempotency_key)} already names task {task_id}", hint=hint)


class TaskGoneError(ConflictError):
    """The idempotency key names a task that was deleted."""

    code = "TASK_GONE"
    anchor = "task-gone"
    status = 410
    default_hint = "The task was asked, and its record was deleted. To ask once more, use another idempotency key."

    def __init__(self, task_id: str, outcome: str) -> None:
        self.task_id = task_id
        super().__init__(f"the key names task {task_id}, which ended as {outcome} and was deleted")


class BusyError(AwaitHumansError):
    """Too many did the same at once; nothing was written."""

    code = "BUSY"
    anchor = "busy"
    status = 503
    default_hint = "Try again."


class LeaseLostError(AwaitHumansError):
    """The right to do something was lost while it was being done."""

    code = "LEASE_LOST"
    anchor = "lease-lost"
    status = 409
    default_hint = "Somebody else may be doing it now. Look how it stands before doing it again."

    def __init__(self, name: str) -> None:
        super().__init__(f"the lease {_quoted(name)} was lost")


class GraphRunError(AwaitHumansError):
    """A run of a graph at its LangGraph API server ended with an error.

    `thread_id`, `run_id` and `run_status` are the server's; `fault` is what it
    tells of the error, such as `ConnectionError('…')`.
    """

    code = "GRAPH_RUN"
    anchor = "graph-run"
    status = 502
    default_hint = "The server's log has the traceback. Driving the thread again runs what failed again."

    def __init__(self, thread_id: str, run_id: str, run_status: str, fault: str) -> None:
        self.thread_id = thread_id
        self.run_id = run_id
        self.run_status = run_status
        self.fault = fault
        super().__init__(f"run {run_id} of thread {thread_id} ended as {run_status}: {fault}")


class TaskNotFoundError(AwaitHumansError, LookupError):
    """There is no task with this id."""

    code = "TASK_NOT_FOUND"
    anchor = "task-not-found"
    status = 404
    default_hint = "Check the id, and that this is the database the task was created in; it may have been deleted."

    def __init__(self, task_id: str) -> None:
        super().__init__(f"there is no task {_quoted(task_id)}")


class AccessError(AwaitHumansError, PermissionError):
    """Who acts may not do this."""

    status = 403


class NotAuthenticatedError(AccessError):
    """The request does not say, or does not prove, who makes it."""

    code = "NOT_AUTHENTICATED"
    anchor = "not-authenticated"
    status = 401
    default_hint = (
        "Send 'Authorization: Bearer <token>' with a token of this router, or log in to the host application."
    )

    def __init__(self, message: str = words("authentication is required")) -> None:
        super().__init__(message)


class InvalidSignatureError(AccessError):
    """A webhook is not signed with the key that this receiver holds."""

    code = "SIGNATURE_INVALID"
    anchor = "signature-invalid"
    status = 401
    default_hint = (
        "Answer 401. If it came from your engine, check that both have the same webhook key, "
        "and that the body is the raw one."
    )

    def __init__(self) -> None:
        super().__init__("the webhook's signature is missing or wrong")


class ForbiddenError(AccessError):
    """Who acts is known, and may not do this."""

    code = "FORBIDDEN"
    anchor = "forbidden"


class SelfAnswerError(AccessError):
    """The one who asked may not answer."""

    code = "SELF_ANSWER"
    anchor = "self-answer"
    default_hint = "Let a person answer, or give the token the scope answer:own (for tests)."

    def __init__(self, task_id: str) -> None:
        super().__init__(f"task {task_id} was asked by the same principal that tries to answer it")


class RemoteError(AwaitHumansError):
    """A server could not be reached, or answered in an unexpected way."""

    status = 502


class ServerUnreachableError(RemoteError, ConnectionError):
    """No connection to the server could be made."""

    code = "SERVER_UNREACHABLE"
    anchor = "server-unreachable"

    def __init__(self, server_url: str, cause: object) -> None:
        super().__init__(
            f"{server_url} cannot be reached: {cause}",
            hint="Check server_url (or AWAITHUMANS_URL), that the server is up, and what stands in between.",
        )


class TaskCreateError(RemoteError):
    """The server refused to create the task."""

    code = "TASK_CREATE_FAILED"
    anchor = "task-create-failed"

    def __init__(self, status: int, server_body: str) -> None:
        super().__init__(f"creating the task failed with HTTP {status}", hint=_server_said(server_body))


class PollError(RemoteError):
    """The server refused to say how the task stands."""

    code = "POLL_FAILED"
    anchor = "poll-failed"

    def __init__(self, task_id: str, status: int, server_body: str) -> None:
        super().__init__(f"polling task {task_id} failed with HTTP {status}", hint=_server_said(server_body))


class LeaseError(RemoteError):
    """The server refused to say who has a lease."""

    code = "LEASE_FAILED"
    anchor = "lease-failed"

    def __init__(self, name: str, status: int, server_body: str) -> None:
        super().__init__(f"leasing {_quoted(name)} failed with HTTP {status}", hint=_server_said(server_body))


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _QUOTE_LIMIT else f"{text[:_QUOTE_LIMIT]}…")


def _server_said(body: str) -> str:
    return f"The server said: {body[:_SERVER_BODY_LIMIT]}"


def _descendants(cls: type[AwaitHumansError]) -> list[type[AwaitHumansError]]:
    return [cls, *(found for child in cls.__subclasses__() for found in _descendants(child))]


ERRORS_BY_CODE: Mapping[str, type[AwaitHumansError]] = {
    cls.code: cls for cls in _descendants(AwaitHumansError) if "code" in vars(cls)
}
"""The class that each code of the JSON API stands for."""
