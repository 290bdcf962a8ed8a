"""Which model a task may have its answers checked by, with which key, over which connections."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import anyio

from awaithumans.errors import ConfigurationError, VerifierConfigError
from awaithumans.types import VerifierConfig

if TYPE_CHECKING:
    from pydantic_ai.models import Model

ModelNames: TypeAlias = Collection[str] | Mapping[str, str]
"""What tasks may call models; with a mapping, and which model is meant by it."""

_EXTRAS = {
    "anthropic": "awaithumans[verifier-claude]",
    "openai": "awaithumans[verifier-openai]",
    "google": "awaithumans[verifier-gemini]",
    "azure": "awaithumans[verifier-azure]",
}


class Models(Protocol):
    """The models that tasks may ask for."""

    def check(self, config: VerifierConfig) -> None:
        """Raise `VerifierConfigError` for a model or a key that they may not ask for."""
        ...

    def name_for(self, config: VerifierConfig) -> str:
        """Name the model that is meant by a configuration that passed `check`."""
        ...

    async def opened(self, config: VerifierConfig, connections: Connections) -> Model:
        """Give the model to use in the running loop."""
        ...


def models_of(
    model: Model | str,
    *,
    api_key: str | None,
    models: ModelNames,
    keys: Mapping[str, str | None],
    options: Mapping[str, str],
) -> Models:
    """Give what is meant by the arguments of `LLMVerifier`.

    Raises `ConfigurationError` at once for what would fail at the first answer.
    """
    if isinstance(model, str):
        provider, _, name = model.partition(":")
        named = NamedModels(provider, name, {name: name, **meanings(models)}, api_key, keys, options)
        with _explained(provider, model):
            named.made(name, api_key)
        return named
    if api_key or models or keys or options:
        raise ConfigurationError(
            "a model that is ready to be used takes no api_key, models, keys or options",
            hint='Give its name instead, such as "anthropic:claude-…".',
        )
    return ReadyModel(model)


def meanings(models: ModelNames) -> dict[str, str]:
    """Say which model each name means."""
    if isinstance(models, Mapping):
        return dict(cast("Mapping[str, str]", models))
    return {name: name for name in models}


@dataclass(slots=True)
class Connections:
    """What one event loop has of a verifier."""

    turns: anyio.CapacityLimiter
    models: dict[tuple[str, str | None], Model] = field(default_factory=dict[tuple[str, "str | None"], "Model"])
    open: AsyncExitStack = field(default_factory=AsyncExitStack)


@dataclass(frozen=True, slots=True)
class NamedModels:
    """Models of one provider, made anew for each event loop, model and key."""

    provider: str
    own: str
    meant: Mapping[str, str]
    api_key: str | None = field(repr=False)
    keys: Mapping[str, str | None] = field(repr=False)
    options: Mapping[str, str] = field(repr=False)

    def check(self, config: VerifierConfig) -> None:
        if config.model is not None and config.model not in self.meant:
            hint = f"Leave it out, or name one of: {', '.join(sorted(self.meant))}."
            raise VerifierConfigError("model", "is not a model that tasks may ask for", hint=hint)
        if config.api_key_env is not None and config.api_key_env not in self.keys:
            known = ", ".join(sorted(self.keys)) or "none"
            hint = f"Leave it out, or name one that the verifier was given: {known}."
            raise VerifierConfigError("api_key_env", "is not a key that tasks may name", hint=hint)

    def name_for(self, config: VerifierConfig) -> str:
        return self.own if config.model is None else self.meant[config.model]

    async def opened(self, config: VerifierConfig, connections: Connections) -> Model:
        place = (self.name_for(config), config.api_key_env)
        if place not in connections.models:
            key = self.api_key if config.api_key_env is None else self.keys[config.api_key_env]
            connections.models[place] = self.made(place[0], key)
            await connections.open.enter_async_context(connections.models[place])
        return connections.models[place]

    def made(self, name: str, key: str | None) -> Model:
        """Make a model; the SDK looks for its key where none is given."""
        from pydantic_ai.models import infer_model
        from pydantic_ai.providers import infer_provider_class

        provider: Any = infer_provider_class(self.provider)
        given = self.options if key is None else {**self.options, "api_key": key}
        return infer_model(f"{self.provider}:{name}", lambda _: provider(**given))


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """One model that the host made."""

    model: Model

    def check(self, config: VerifierConfig) -> None:
        if config.model not in (None, self.model.model_name):
            hint = f"Leave it out, or say {self.model.model_name!r}."
            raise VerifierConfigError("model", "is not a model that tasks may ask for", hint=hint)
        if config.api_key_env is not None:
            raise VerifierConfigError("api_key_env", "is not a key that tasks may name", hint="Leave it out.")

    def name_for(self, config: VerifierConfig) -> str:  # noqa: ARG002 - there is only one
        return self.model.model_name

    async def opened(self, config: VerifierConfig, connections: Connections) -> Model:  # noqa: ARG002 - it is the host's
        return self.model


@contextmanager
def _explained(provider: str, model: str) -> Generator[None]:
    try:
        yield
    except ImportError as error:
        package = _EXTRAS.get(provider, "pydantic-ai-slim")
        more = "" if provider in _EXTRAS else ", with the extra of this provider"
        raise ConfigurationError(
            f"a verifier by {provider!r} needs a package that is not installed", hint=f"pip install '{package}'{more}"
        ) from error
    except (RuntimeError, ValueError, TypeError) as error:  # what pydantic-ai says of a model, a key or an option
        raise ConfigurationError(f"{model!r} cannot be used as a verifier: {error}") from error
