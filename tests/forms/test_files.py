"""Files of a form: their description, their limits, and what does not get through."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import cast

import pytest

from awaithumans.forms import (
    FormDefinition,
    Submission,
    UploadedFile,
    file_upload,
    parse,
    posted_file,
    render_fields,
    subform,
    validate_response,
)
from awaithumans.forms.definition import FileUpload, FormField
from awaithumans.forms.files import MAX_NAME, described

SCHEMA = {"type": "object", "properties": {"files": {"type": "array"}}}


def form(field: FileUpload) -> FormDefinition:
    return FormDefinition(fields=(field.model_copy(update={"name": "files"}),))


def faults(field: FileUpload, *files: object) -> dict[str, str]:
    return validate_response(form(field), SCHEMA, {"files": list(files)})


def files_in(sent: Submission) -> list[dict[str, object]]:
    return cast("list[dict[str, object]]", sent.value["files"])


def test_an_upload_becomes_what_deployed_clients_get():
    sent = parse(form(file_upload()), SCHEMA, {"files": [posted_file("a.pdf", "application/pdf", b"%PDF")]})
    assert not sent.errors
    data = f"data:application/pdf;base64,{base64.b64encode(b'%PDF').decode()}"
    assert sent.value == {"files": [{"name": "a.pdf", "mime": "application/pdf", "size": 4, "data": data}]}
    assert UploadedFile.model_validate(files_in(sent)[0]).content == b"%PDF"


def test_a_file_of_slack_has_no_content():
    file = UploadedFile.model_validate({"id": "F1", "name": "a", "mime": "text/plain", "url": "https://x", "size": 1})
    with pytest.raises(ValueError, match="did not come with the answer"):
        _ = file.content


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ana\\bill.pdf", "bill.pdf"),
        (".htaccess", "htaccess"),
        ("..", "file"),
        ("", "file"),
        ("a\r\nX-Evil: 1.txt", "aX-Evil: 1.txt"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("x" * 500 + ".pdf", "x" * (MAX_NAME - 4) + ".pdf"),
        ("x" * 500, "x" * MAX_NAME),
        ("Größe.txt", "Größe.txt"),
    ],
)
def test_a_name_is_only_a_name(name: str, plain: str):
    assert described(name, "text/plain", b"")["name"] == plain


@pytest.mark.parametrize(
    ("name", "stated", "kind"),
    [
        ("a.pdf", "text/html", "application/pdf"),
        ("a.csv", "application/vnd.ms-excel", "text/csv"),
        ("a.unheard-of", "Text/X-Own; charset=utf-8", "text/x-own"),
        ("a", 'text/html"><script>', "application/octet-stream"),
        ("a", "", "application/octet-stream"),
        ("a.tar.gz", "text/plain", "application/gzip"),
    ],
)
def test_the_type_is_that_of_the_ending(name: str, stated: str, kind: str):
    assert described(name, stated, b"")["mime"] == kind


@pytest.mark.parametrize(
    ("accept", "name", "mime", "fits"),
    [
        ([".pdf"], "a.PDF", "application/pdf", True),
        ([".pdf"], "a.pdf.exe", "application/pdf", False),
        (["image/*"], "a.png", "image/png", True),
        (["image/*"], "a.html", "image/png", False),
        (["image/*"], "a.png", "text/html", False),
        (["application/pdf"], "scan", "application/pdf", True),
        (["application/pdf"], "scan", "application/pdfx", False),
        ([".jpg", "text/plain"], "a.txt", "text/plain", True),
    ],
)
def test_only_the_kinds_asked_for_are_accepted(accept: list[str], name: str, mime: str, fits: bool):  # noqa: FBT001
    file = {"name": name, "mime": mime, "size": 1, "id": "F1"}
    assert (faults(file_upload(accept=accept), file) == {}) is fits


def test_size_and_count_have_limits():
    small, large = described("s.txt", "", b"12345"), described("l.txt", "", b"123456")
    limited = file_upload(multiple=True, max_size_bytes=5, min_count=2, max_count=3)
    assert faults(limited, small, small) == {}
    assert "“l.txt” is larger than 5 bytes" in faults(limited, small, large)["files"]
    assert "at least 2" in faults(limited, small)["files"]
    assert "at most 3" in faults(limited, small, small, small, small)["files"]
    assert "at most 1" in faults(file_upload(), small, small)["files"]


def test_a_stated_size_is_not_believed():
    lie = {**described("a.txt", "", b"123456"), "size": 1}
    assert "did not come through whole" in faults(file_upload(max_size_bytes=5), lie)["files"]
    elsewhere = {"name": "a.txt", "mime": "text/plain", "url": "https://files.example/a.txt"}
    assert faults(file_upload(max_size_bytes=5), {**elsewhere, "size": 5, "data": None}) == {}
    assert "larger than" in faults(file_upload(max_size_bytes=5), {**elsewhere, "size": 6})["files"]
    for size in ({}, {"size": -1}, {"size": True}, {"size": "5"}):
        assert "did not come through whole" in faults(file_upload(), {**elsewhere, **size})["files"]


def test_a_description_alone_is_no_file():
    assert (
        "did not come through whole" in faults(file_upload(), {"name": "a", "mime": "text/plain", "size": 1})["files"]
    )


@pytest.mark.parametrize(
    "file", ["a.txt", 1, None, [], {"size": 1}, {"name": "a", "data": "data:text/plain,hi", "size": 2}]
)
def test_what_is_no_file_is_refused(file: object):
    assert faults(file_upload(), file)


@pytest.mark.parametrize(
    "posted",
    [
        "nonsense",
        "[1]",
        '{"name": "a"}',
        '{"name": "a", "data": "data:text/plain;base64,%%%"}',
        '{"name": "a", "data": "javascript:alert(1)"}',
        '{"name": "a", "url": "https://internal.example/secret", "size": 1}',
    ],
)
def test_what_a_page_did_not_post_is_no_file(posted: str):
    assert parse(form(file_upload()), SCHEMA, {"files": [posted]}).errors == {
        "files": "a file did not come through; choose it again"
    }


def test_a_file_sent_again_is_described_anew():
    lie = json.dumps({**described("a.pdf", "", b"x"), "name": "../a.pdf", "size": 99, "mime": "text/html", "more": 1})
    assert parse(form(file_upload()), SCHEMA, {"files": [lie]}).value == {"files": [described("a.pdf", "", b"x")]}


def test_what_the_form_began_with_may_stay():
    start = {"files": [{"id": "F1", "name": "a.pdf", "url": "https://files.example/a.pdf", "size": 7}]}
    [control] = render_fields(form(file_upload()), SCHEMA, start, {})
    assert [(one.name, one.size) for one in control.files] == [("a.pdf", "7 bytes")]
    assert parse(form(file_upload()), SCHEMA, {"files": list(control.values)}, start).value == start


def test_a_refused_form_keeps_the_files():
    field = file_upload(multiple=True, min_count=2)
    sent = parse(form(field), SCHEMA, {"files": [posted_file("a.txt", "", b"a"), ""]})
    assert sent.errors
    [control] = render_fields(form(field), SCHEMA, sent.typed, sent.errors)
    kept = [one.text for one in control.files]
    again = parse(form(field), SCHEMA, {"files": [*kept, posted_file("b.txt", "", b"b")]})
    assert not again.errors
    assert [one["name"] for one in files_in(again)] == ["a.txt", "b.txt"]


def test_a_new_file_takes_the_place_of_a_single_one():
    texts = [posted_file("a.txt", "", b"a"), posted_file("b.txt", "", b"b")]
    sent = parse(form(file_upload()), SCHEMA, {"files": texts})
    assert [one["name"] for one in files_in(sent)] == ["b.txt"]


@pytest.mark.parametrize(("required", "value", "errors"), [(True, {}, {"files": "is required"}), (False, {}, {})])
def test_no_file(required: bool, value: object, errors: object):  # noqa: FBT001
    field = file_upload().model_copy(update={"required": required})
    sent = parse(form(field), SCHEMA, {"files": [""]})
    assert (sent.value, sent.errors) == (value, errors)


def test_where_the_answer_is_no_list_files_are_asked_for_as_json():
    [control] = render_fields(form(file_upload()), {"properties": {"files": {"type": "object"}}}, {}, {})
    assert control.widget == "json"


def test_the_limits_are_said():
    field = file_upload(multiple=True, max_count=3, accept=[".pdf"], max_size_bytes=1_500_000)
    [control] = render_fields(form(field), SCHEMA, {}, {})
    assert control.limits == "at most 3 files, .pdf, at most 1.5 MB each"


@pytest.mark.parametrize(
    ("kinds", "schema", "value"),
    [
        (
            lambda file: [subform([file]).model_copy(update={"name": "rows"})],
            {},
            lambda one: {"rows": [{"files": [one]}]},
        ),
        (lambda file: [file], {"properties": {"files": {"type": "object"}}}, lambda one: {"files": one}),
    ],
)
def test_nor_inside_of_json_may_a_person_say_where_a_file_is(
    kinds: Callable[[FormField], list[FormField]],
    schema: dict[str, object],
    value: Callable[[object], dict[str, object]],
):
    """Whatever fetches files from Slack does it with the bot's token."""
    form = FormDefinition(fields=tuple(kinds(file_upload().model_copy(update={"name": "files"}))))
    there = {"id": "F1", "name": "a.pdf", "mime": "application/pdf", "url": "https://internal.example/a", "size": 1}
    [(name, whole)] = value(there).items()
    with_content = json.dumps(value({**there, **described("a.pdf", "", b"x")})[name])
    for posted in (json.dumps(whole), with_content):
        refused = parse(form, {"type": "object", **schema}, {name: [posted]})
        assert "did not come through" in str(refused.errors)
    kept = parse(form, {"type": "object", **schema}, {name: [json.dumps(whole)]}, value(there))
    assert (kept.value, kept.errors) == (value(there), {})
