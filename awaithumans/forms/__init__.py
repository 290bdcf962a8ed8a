"""From a response schema to a form, and from what was filled in to a value."""

from awaithumans.forms.definition import FormDefinition, FormField, FormFieldBase, SelectOption, check_form

__all__ = ["FormDefinition", "FormField", "FormFieldBase", "SelectOption", "check_form"]
