"""Our errors as failures of Temporal's, and back again."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import islice
from typing import Any, cast

from temporalio.exceptions import ApplicationError, FailureError

from awaithumans.documents import scrubbed
from awaithumans.errors import ERRORS_BY_CODE, AwaitHumansError

_FACTS = ("task_id", "attempts", "reason", "fields")
"""What is told of an error besides its words, where it has it."""

_LONGEST = 2_000
_MOST_FIELDS = 20


def failure_of(error: AwaitHumansError, *, retryable: bool = False) -> ApplicationError:
    """Make the failure that stands for `error`; `error_of` is its inverse.

    In workflow code it is caught as the error it stands for, and fails the
    workflow unless it is. Its `type` is the name of the error's class. Of long
    texts, and of many fields, it keeps the beginning.
    """
    both = _both(type(error))  # type: ignore[arg-type]  # a class is hashable
    failure = both.__new__(both)
    message = scrubbed(error.message, _LONGEST)
    ApplicationError.__init__(
        failure, message, _document(error), type=type(error).__name__, non_retryable=not retryable
    )
    vars(failure).update(vars(error), message=message)
    return failure


def error_of(failure: BaseException) -> AwaitHumansError | None:
    """Find the error of this library that a failure was caused by, if any.

    Give it what Temporal raised, such as a client's `WorkflowFailureError`, or
    a parent workflow's `ChildWorkflowError`. The error has the class, the
    message and the hint that it had in the workflow, and as attributes
    `task_id`, `attempts`, `reason` and `fields`, where they were known. A
    workflow that was cancelled or terminated, or failed of its own, has none.
    """
    for cause in _causes(failure):
        if isinstance(cause, AwaitHumansError):
            return cause
        if isinstance(cause, ApplicationError) and (document := _document_in(cause)):
            return _read(document)
    return None


@contextmanager
def out_of_groups() -> Generator[None]:
    """Raise our error itself, where an exception group has one of ours and no fault of the code.

    Temporal takes any exception group for a fault of the code, and would run
    the workflow's code again and again.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        errors = list(_members(group))
        ours = [error for error in errors if isinstance(error, AwaitHumansError)]
        if not ours or not all(isinstance(error, AwaitHumansError | FailureError) for error in errors):
            raise
        raise ours[0] from None


def _members(error: BaseException) -> Iterator[BaseException]:
    """Give the exceptions of a group and of the groups in it."""
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for member in cast("BaseExceptionGroup[BaseException]", error).exceptions:
        yield from _members(member)


@cache
def _both(cls: type[AwaitHumansError]) -> type[ApplicationError]:
    """Make the class of what is both: an error of ours, and a failure."""
    if issubclass(cls, ApplicationError):
        return cls
    members = {"__doc__": cls.__doc__, "__module__": cls.__module__, "message": ""}
    return cast(type[ApplicationError], type(cls.__name__, (cls, ApplicationError), members))


def _document(error: AwaitHumansError) -> dict[str, object]:
    facts = {name: _brief(value) for name, value in vars(error).items() if name in _FACTS and value}
    return {"code": error.code, "message": _brief(error.message), "hint": _brief(error.hint), **facts}


def _brief(fact: object) -> object:
    """Make of a text, or of texts by field, what fits into a history."""
    match fact:
        case str():
            return scrubbed(fact, _LONGEST)
        case Mapping():
            fields = islice(cast("Mapping[str, str]", fact).items(), _MOST_FIELDS)
            return {scrubbed(place, _LONGEST): scrubbed(fault, _LONGEST) for place, fault in fields}
        case _:
            return fact


def _causes(failure: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = failure
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _document_in(failure: ApplicationError) -> Mapping[str, Any] | None:
    match failure.details:
        case [{"code": str(), "message": str(), "hint": str()} as document]:
            return cast("Mapping[str, Any]", document)
        case _:
            return None


def _read(document: Mapping[str, Any]) -> AwaitHumansError:
    error = ERRORS_BY_CODE.get(document["code"], AwaitHumansError).described(document["message"], document["hint"])
    vars(error).update({name: document[name] for name in _FACTS if name in document})
    return error
