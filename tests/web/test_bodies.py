"""Forms with files, as browsers and others send them: never more than the limit."""

from __future__ import annotations

import json
import time

import httpx2
import pytest
from starlette.requests import Request
from starlette.types import Message

from awaithumans.forms import file_upload, posted_file, short_text
from awaithumans.web.bodies import read_form
from tests.web.world import World, as_person, hidden_token

BOUNDARY = "b"
FIELDS = [
    file_upload(multiple=True).model_copy(update={"name": "files", "required": False}).model_dump(mode="json"),
]
FORM: dict[str, object] = {"version": 1, "fields": FIELDS}
KIND = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def part(name: str, content: bytes, *, file: str | None = None, kind: str = "text/plain") -> bytes:
    named = f'; filename="{file}"\r\nContent-Type: {kind}' if file is not None else ""
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content + b"\r\n"


def sealed(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


class Page:
    """The page of a task that asks for files."""

    def __init__(self, world: World, client: httpx2.AsyncClient) -> None:
        self._world, self._client = world, client
        self.form: dict[str, object] = FORM

    async def sends(self, *parts: bytes, whole: bytes | None = None, headers: dict[str, str] = KIND) -> httpx2.Response:
        self.task_id = await self._world.ask(
            self._client, form_definition=self.form, response_schema={"type": "object"}
        )
        path = f"/tasks/{self.task_id}"
        drawn = await self._client.get(path, headers=as_person("ana"))
        token = part("_awaithumans_csrf", hidden_token(drawn.text).encode())
        content = sealed(token, *parts) if whole is None else whole
        return await self._client.post(path, content=content, headers={**as_person("ana"), **headers})

    async def answer(self) -> object:
        return (await self._world.task(self.task_id)).response


@pytest.fixture
def page(world: World, client: httpx2.AsyncClient) -> Page:
    return Page(world, client)


@pytest.mark.anyio
async def test_files_are_described_in_the_answer(page: Page) -> None:
    reply = await page.sends(
        part("files", b"", file="", kind="application/octet-stream"),
        part("files", b"one", file="../../one.txt", kind="text/html"),
        part("files", b"", file="empty.txt"),
    )
    assert reply.status_code == 303
    described = [posted_file("one.txt", "", b"one"), posted_file("empty.txt", "", b"")]
    assert await page.answer() == {"files": [json.loads(text) for text in described]}


@pytest.mark.anyio
async def test_a_form_without_files_may_come_in_parts(page: Page) -> None:
    reply = await page.sends(part("files", posted_file("kept.txt", "", b"kept").encode()))
    assert reply.status_code == 303
    assert await page.answer() == {"files": [json.loads(posted_file("kept.txt", "", b"kept"))]}


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([part("files", b"x", file="x.txt")] * 101, 422),
        ([part(f"f{number}", b"x") for number in range(10_001)], 422),
        ([part("files", b"\0")], 422),
        ([part("files", b"x" * 1_100_000, file="x.txt")], 413),
        ([part("files", b"x" * 900_000, file="x.txt")], 413),  # which could not be sent a second time
        ([part("files", b"x", file="x.txt").replace(b'; name="files"', b"")], 422),
    ],
)
@pytest.mark.anyio
async def test_too_much_is_refused(page: Page, parts: list[bytes], status: int) -> None:
    reply = await page.sends(*parts)
    assert reply.status_code == status
    assert await page.answer() is None


@pytest.mark.parametrize(
    ("whole", "kind"),
    [
        (b"", "multipart/form-data"),
        (b"--other\r\n\r\nx", f"multipart/form-data; boundary={BOUNDARY}"),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", f"multipart/form-data; boundary={BOUNDARY}"),
        (b"--b\r\n\x00\r\n\r\n", f"multipart/form-data; boundary={BOUNDARY}"),
        (sealed(part("a", b"b")), f"multipart/form-data; boundary={BOUNDARY}; charset=undefined"),
        (b"files=%ff", "application/x-www-form-urlencoded"),
        (b"files=&" * 10_001, "application/x-www-form-urlencoded"),
    ],
)
@pytest.mark.anyio
async def test_what_is_no_form_is_refused(page: Page, whole: bytes, kind: str) -> None:
    reply = await page.sends(whole=whole, headers={"Content-Type": kind})
    assert reply.status_code == 422
    assert await page.answer() is None


@pytest.mark.anyio
async def test_a_codec_that_is_slow_is_not_used(page: Page) -> None:
    slow = sealed(part("a", b"a" * 900_000))
    before = time.process_time()
    await page.sends(whole=slow, headers={"Content-Type": f"{KIND['Content-Type']}; charset=punycode"})
    assert time.process_time() - before < 5  # it was a quarter of a minute


@pytest.mark.anyio
async def test_parts_may_say_that_they_are_utf_8(page: Page) -> None:
    kept = part("files", posted_file("ä.txt", "", b"kept").encode())
    assert (
        await page.sends(kept, headers={"Content-Type": f"{KIND['Content-Type']}; charset=UTF-8"})
    ).status_code == 303
    assert "ä.txt" in str(await page.answer())


@pytest.mark.anyio
async def test_a_form_without_files_may_have_many_and_long_values(world: World) -> None:
    posted = b"".join(b"f%d=1&" % number for number in range(9_999)) + b"long=" + b"%C3%A4" * 500_000

    async def receive() -> Message:
        return {"type": "http.request", "body": posted}

    kind = b"application/x-www-form-urlencoded"
    request = Request({"type": "http", "method": "POST", "headers": [(b"content-type", kind)]}, receive)
    form = await read_form(request, 4_000_000)
    assert len(form) == 10_000
    assert form["long"] == ["ä" * 500_000]


@pytest.mark.anyio
async def test_what_browsers_write_out_in_a_name_is_meant(world: World, client: httpx2.AsyncClient) -> None:
    name = 'the "right"\none'
    field = short_text().model_copy(update={"name": name}).model_dump(mode="json")
    page = Page(world, client)
    page.form = {"version": 1, "fields": [*FIELDS, field]}
    # So Chromium and Firefox write the name, after they have made two letters of the line break.
    assert (await page.sends(part("the %22right%22%0D%0Aone", b"kept"))).status_code == 303
    assert await page.answer() == {name: "kept"}


@pytest.mark.anyio
async def test_a_form_from_another_site_is_refused_files_and_all(page: Page) -> None:
    headers = {**KIND, "Sec-Fetch-Site": "cross-site"}
    assert (await page.sends(part("files", b"x", file="x.txt"), headers=headers)).status_code == 403
    assert await page.answer() is None


@pytest.mark.anyio
async def test_a_name_cannot_leave_its_place_on_the_page(page: Page) -> None:
    reply = await page.sends(
        *[part("files", b"x", file="<img src=x onerror=alert(1)>.txt")], part("files", b"not a description")
    )
    assert reply.status_code == 422
    assert "<img src=x" not in reply.text
    assert "&lt;img src=x onerror=alert(1)&gt;.txt" in reply.text
