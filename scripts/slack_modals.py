"""Write docs/reference/slack-modals.md: what Slack draws for each kind of field, as the code draws it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from awaithumans.channels.slack import messages, modal
from awaithumans.testing.tasks import make_spec, make_task

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "slack-modals.md"
WIDTH = 110

OPTIONS = [{"value": "card", "label": "To the card"}, {"value": "voucher", "label": "As a voucher"}]
MANY = [{"value": str(number), "label": f"Reason {number}"} for number in range(1, 6)]
PICTURES = [{**one, "image_url": f"https://shop.example/{one['value']}.png"} for one in OPTIONS]
NUMBER = {"type": "number", "minimum": 0, "maximum": 500}

FIELDS: list[tuple[str, dict[str, Any], Any]] = [
    ("A switch", {"kind": "switch", "default": True}, None),
    ("A line of text", {"kind": "short_text", "placeholder": "In a few words", "max_length": 80}, None),
    ("An e-mail address", {"kind": "short_text", "subtype": "email"}, None),
    ("A web address", {"kind": "short_text", "subtype": "url"}, None),
    ("A number", {"kind": "short_text", "subtype": "currency"}, NUMBER),
    ("Lines of text", {"kind": "long_text", "required": False}, None),
    ("One of up to four", {"kind": "single_select", "options": OPTIONS, "default": "card"}, None),
    ("One of more than four", {"kind": "single_select", "options": MANY}, None),
    ("Any of up to ten (of more, a `multi_static_select`)", {"kind": "multi_select", "options": OPTIONS}, None),
    ("Pictures, by their labels", {"kind": "picture_choice", "options": PICTURES}, None),
    ("A date", {"kind": "date", "default": "2026-01-31"}, None),
    ("A time", {"kind": "time", "default": "09:30:00"}, None),
    ("A moment", {"kind": "datetime", "timezone": "Europe/Berlin", "default": "2026-07-01T12:00:00+02:00"}, None),
    ("A slider", {"kind": "slider", "min": 0, "max": 10, "step": 0.5, "default": 5}, None),
    ("Stars", {"kind": "star_rating", "max": 3}, None),
    ("A scale", {"kind": "opinion_scale", "max": 3, "min_label": "bad", "max_label": "good"}, None),
    ("Files", {"kind": "file_upload", "accept": [".pdf"], "multiple": True, "max_count": 3}, None),
    ("Text to read", {"kind": "display_text", "text": "Refunds above 100 need a reason."}, None),
    ("A picture to look at", {"kind": "image", "url": "https://shop.example/receipt.png", "alt": "Receipt"}, None),
    ("A heading", {"kind": "section", "title": "The refund", "subtitle": "What goes back"}, None),
    ("A line", {"kind": "divider"}, None),
]

INTRODUCTION = """\
# What Slack draws

`python -m scripts.slack_modals` writes this page from the code. It shows the [fields](forms.md) of a form as blocks
of a modal (Slack's [Block Kit](https://docs.slack.dev/reference/block-kit)), with the ids that deployed apps know:
each input has the `block_id` `awaithumans:` and the field's name, and the name as its `action_id`.

What is filled in is read as the page's own form is, so the two give the same answers. Some things are left to the
browser, since Slack would hide or bend them; the message then has no *Answer* button, but says so and leads to the
page:

- `rich_text`, `ranking`, `date_range`, `signature`, `video`, `pdf_viewer`, `html`, `table`, `subform`, nested
  answers, whatever a page asks for as JSON, and passwords, which Slack would show;
- more than 100 options, option values that are empty or longer than 150 characters, two options that read the same
  once they are cut to 75 characters, texts of more than 3 000 characters to correct, names longer than 240;
- forms of more blocks than a modal may have (100), or of more than 250 000 bytes.

Times with seconds, moments without a zone and numbers of unusual size are asked for as a line of text, so that they
come back as they were. The fields of a `section_collapse` stand under its heading.
"""


def page() -> str:
    """Return the page."""
    parts = [INTRODUCTION, "## A message\n", *_message(), "## A modal\n", *_modal(), "## Fields\n"]
    for title, field, schema in FIELDS:
        drawn = _drawn(field, schema)
        parts += [f"### {title}\n", _fenced(field), "is drawn as\n", _fenced(drawn[0] if len(drawn) == 1 else drawn)]
    return "\n".join(parts)


def _message() -> list[str]:
    task = make_task(id="4f1a", spec=make_spec())
    told = messages.task_message(task, broadcast=True, url="https://app.example/humans/tasks/4f1a")
    return ["In a channel; in a direct message the first button is `awaithumans.open_review`.\n", _fenced(told[1])]


def _modal() -> list[str]:
    task = make_task(id="4f1a", spec=make_spec())
    return [_fenced(modal.review_view(task, values={}, errors={}))]


def _drawn(field: Mapping[str, Any], schema: Any) -> Any:
    name = "" if field["kind"] in {"display_text", "image", "section", "divider"} else "answer"
    properties = {} if schema is None else {"answer": schema}
    form = {"version": 1, "fields": [{"name": name, **field}]}
    task = make_task(
        spec=make_spec(form=form, response_schema={"type": "object", "properties": properties}, payload={})
    )
    blocks: Any = modal.review_view(task, values={}, errors={})["blocks"]
    return blocks[1:]


def _fenced(value: object) -> str:
    return f"```json\n{_laid_out(value, '')}\n```\n"


def _laid_out(value: object, indent: str) -> str:
    """Write JSON in lines of up to `WIDTH` characters."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= WIDTH or not isinstance(value, dict | list):
        return line
    deeper = indent + "  "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {_laid_out(part, deeper)}" for key, part in value.items()]
        return "{\n" + ",\n".join(deeper + part for part in parts) + f"\n{indent}}}"
    return "[\n" + ",\n".join(deeper + _laid_out(part, deeper) for part in value) + f"\n{indent}]"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
