"""The modals people answer in: a task's question, its details and its form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from awaithumans import forms
from awaithumans.channels.slack.blocks import (
    MAX_CONTEXT,
    MAX_HEADER,
    Block,
    context,
    cut,
    escaped,
    header,
    metadata_line,
    mrkdwn,
    one_line,
    paragraphs,
    plain,
    section,
)
from awaithumans.channels.slack.details import details
from awaithumans.channels.slack.elements import drawn
from awaithumans.channels.slack.fields import Asked, asked_in
from awaithumans.types import Task

CALLBACK_ID = "awaithumans.review_modal"
MAX_BLOCKS = 100
MAX_VIEW_BYTES = 250_000
MAX_TITLE = 24

_ON_THE_PAGE = "The reason is not shown in Slack: it can quote the details."


def review_view(
    task: Task, *, values: Mapping[str, object], errors: Mapping[str, str], notice: str = "", url: str | None = None
) -> Block:
    """Draw the modal that a task is answered in.

    Arguments:
        task: the task; its id is the view's `private_metadata`.
        values: what the form is filled in with, see `forms.prefilled`.
        errors: messages at the fields, by path.
        notice: something to say first, as plain text.
        url: the task's page, for those who would rather answer there.

    Raises `ValueError` where Slack cannot draw the form: ask `drawable` first.
    """
    fields = asked_in(task, values, errors)
    drawings = [drawn(one) for one in fields]
    if None in drawings:
        raise ValueError(f"Slack cannot draw the form of task {task.id}")
    form = [block for drawing in drawings for block in drawing or ()]
    return {
        "type": "modal",
        "callback_id": CALLBACK_ID,
        "private_metadata": task.id,
        "title": plain("Your answer, please", MAX_TITLE),
        "submit": plain("Submit", MAX_TITLE),
        "close": plain("Cancel", MAX_TITLE),
        "blocks": [*_question(task, notice), *details(task), *_elsewhere(errors, fields), *form, *_page(url)],
    }


def drawable(task: Task) -> bool:
    """Tell whether Slack can draw the whole of a task's form, as it is filled in at first."""
    if unsupported_fields(task):
        return False
    values, errors = forms.prefilled(task)
    view = review_view(task, values=values, errors=errors, url="https://" + "x" * 2_000)
    blocks = cast("list[Block]", view["blocks"])
    return len(blocks) <= MAX_BLOCKS and len(json.dumps(view).encode()) <= MAX_VIEW_BYTES


def unsupported_fields(task: Task) -> list[str]:
    """Name the fields of a task's form that Slack cannot draw: by name, else label, else kind."""
    values, errors = forms.prefilled(task)
    return [one.control.name or one.label for one in asked_in(task, values, errors) if drawn(one) is None]


def loading_view(task_id: str) -> Block:
    """Draw the modal that is there at once, while the task is being looked up."""
    return {**said_view("One moment", "The question is being fetched …"), "private_metadata": task_id}


def said_view(title: str, text: str) -> Block:
    """Draw a modal that only says something; both are plain text."""
    return {
        "type": "modal",
        "title": plain(one_line(title) or "Sorry", MAX_TITLE),
        "close": plain("Close", MAX_TITLE),
        "blocks": paragraphs(text or title)[:MAX_BLOCKS] or [section(plain("–", 1))],
    }


# ── Above the form ────────────────────────────────────────────────────────────


def _question(task: Task, notice: str) -> list[Block]:
    title, _, rest = task.spec.task.strip().partition("\n")
    whole = task.spec.task.strip() if len(title) > MAX_HEADER else rest.strip()
    return [
        header(title.strip() or "Untitled question"),
        *([section(plain(notice, MAX_CONTEXT))] if notice.strip() else []),
        *_refusal(task),
        *paragraphs(whole),
        *metadata_line([*task.spec.metadata.items()]),
    ]


def _refusal(task: Task) -> list[Block]:
    if not task.refused or not task.verdict:
        return []
    reason = _ON_THE_PAGE if task.spec.redact_payload else one_line(task.verdict.reason)
    return [section(plain(cut(f"The last answer was refused. {reason}".strip(), MAX_CONTEXT), MAX_CONTEXT))]


def _elsewhere(errors: Mapping[str, str], fields: list[Asked]) -> list[Block]:
    """Say what is wrong but belongs to no field."""
    names = [one.control.name for one in fields if one.control.widget != "display"]
    loose = [
        f"{path}: {text}" if path else text
        for path, text in errors.items()
        if not any(path == name or path.startswith(f"{name}.") for name in names)
    ]
    return [context(plain("⚠️ " + "; ".join(loose), MAX_CONTEXT))] if loose else []


def _page(url: str | None) -> list[Block]:
    return [context(mrkdwn(f"<{escaped(url)}|Open in the browser>"))] if url else []
