"""Why a model gave no verdict, in words that may stand in a log."""

from __future__ import annotations

import logging
import re
from collections.abc import Generator
from contextlib import contextmanager
from traceback import format_exception
from typing import TYPE_CHECKING

import anyio

from awaithumans.documents import scrubbed
from awaithumans.protocols import VerifierError
from awaithumans.types import Usage

if TYPE_CHECKING:
    from pydantic_ai.exceptions import ModelAPIError
    from pydantic_ai.usage import RunUsage

logger = logging.getLogger("awaithumans.verifiers")

MAX_LENGTH = 500
_SECRETS = re.compile(
    r"sk[-_][\w-]{6,}|AIza[\w-]{6,}|bearer\s+\S+|x-api-key\s*[:=]\s*\S+|api[-_]?key\s*[:=]\s*\S+", re.IGNORECASE
)
_CODE = re.compile(r"[\w.-]{1,60}")


@contextmanager
def explained(model: str, timeout: float, used: RunUsage) -> Generator[None]:
    """Turn what a call raises into `VerifierError` with what it `used`, and bound it in time.

    What the provider says in its own words may quote the data or a key: it is
    neither in the message nor in the cause, and in the log only at DEBUG.
    """
    from pydantic_ai.exceptions import ModelAPIError

    def failed(fault: str, *, retry_after: float | None = None) -> VerifierError:
        usage = Usage(model=model, input_tokens=used.input_tokens, output_tokens=used.output_tokens)
        return VerifierError(without_secrets(fault), retry_after=retry_after, usage=usage)

    try:
        with anyio.fail_after(timeout):
            yield
    except ModelAPIError as error:
        logger.debug("%s: %s", model, without_secrets(str(error)))
        raise failed(f"{model}: {_fault(error)}", retry_after=error.retry_after) from None
    except TimeoutError:
        raise failed(f"{model} gave no verdict within {timeout:g} s") from None
    except Exception as error:  # noqa: BLE001 - of the library, or of an SDK, which may raise anything at nonsense
        logger.debug("%s gave no verdict: %s", model, _SECRETS.sub("[secret]", "".join(format_exception(error))))
        raise failed(f"{model} gave no verdict: {type(error).__name__}") from None


def without_secrets(text: str) -> str:
    """Cut text of foreign origin, and leave out what looks like a key."""
    return scrubbed(_SECRETS.sub("[secret]", text), MAX_LENGTH)


def _fault(error: ModelAPIError) -> str:
    """Name a failure by what machines say of it."""
    status = getattr(error, "status_code", None)
    codes = (error.provider_error_type, error.provider_error_code)
    named = [code for code in dict.fromkeys(codes) if code and _CODE.fullmatch(code)]
    return " ".join([type(error).__name__ if status is None else f"HTTP {status}", *named])
