"""What the arguments of a tool have to be like."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, ValidationError

from awaithumans import schemas
from awaithumans.errors import InvalidSchemaError, SchemaValidationError
from awaithumans.forms import schema_of
from awaithumans.types import JsonObject

Tools: TypeAlias = Iterable[BaseTool | Callable[..., object]] | Mapping[str, type[BaseModel] | JsonObject]
"""Tools, as an agent gets them; or by the tool's name a model of its arguments, or their JSON Schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The arguments of one tool, as a model that calls it knows them."""

    schema: JsonObject
    """Their JSON Schema."""
    model: type[BaseModel] | None = None
    """Checks more than the schema can say."""

    def faults(self, given: JsonObject) -> Mapping[str, str]:
        """Say what is wrong with arguments, by dotted path; empty when they fit."""
        try:
            faults = schemas.validate(self.schema, given)
        except InvalidSchemaError:
            faults = dict[str, str]()
        if faults or self.model is None:
            return faults
        try:
            self.model.model_validate(given)
        except ValidationError as error:
            return SchemaValidationError.of_model("response", error).fields
        return {}


ANY: Final = Arguments(schema={"type": "object"})
"""The arguments of a tool that nothing is known of."""


def arguments_of(tools: Tools) -> dict[str, Arguments]:
    """Give the arguments of tools, by the tools' names."""
    if isinstance(tools, Mapping):
        given = cast("Mapping[str, type[BaseModel] | JsonObject]", tools)
        return {name: _declared(arguments) for name, arguments in given.items()}
    made = [tool if isinstance(tool, BaseTool) else StructuredTool.from_function(tool) for tool in tools]
    return {tool.name: _of_tool(tool) for tool in made}


def _declared(arguments: type[BaseModel] | JsonObject) -> Arguments:
    if isinstance(arguments, Mapping):
        return Arguments(schema=arguments)
    return Arguments(schema=schema_of(arguments), model=arguments)


def _of_tool(tool: BaseTool) -> Arguments:
    """Leave out the arguments that are injected; with one, validators of the whole model cannot run."""
    shown: Any = tool.tool_call_schema
    if isinstance(shown, dict):
        return Arguments(schema=cast("JsonObject", shown))
    if not issubclass(shown, BaseModel):
        return ANY
    whole: Any = tool.args_schema
    entire = getattr(whole, "model_fields", {}).keys() == shown.model_fields.keys()
    return Arguments(schema=schema_of(shown), model=whole if entire else shown)
