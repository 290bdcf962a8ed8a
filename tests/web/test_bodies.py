"""Forms with files, as browsers and others send them: never more than the limit."""

from __future__ import annotations

import json

import httpx2
import pytest

from awaithumans.forms import file_upload, posted_file
from tests.web.world import World, as_person, hidden_token

BOUNDARY = "b"
FORM = {
    "version": 1,
    "fields": [file_upload(multiple=True).model_copy(update={"name": "files"}).model_dump(mode="json")],
}
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

    async def sends(self, *parts: bytes, whole: bytes | None = None, headers: dict[str, str] = KIND) -> httpx2.Response:
        self.task_id = await self._world.ask(self._client, form_definition=FORM, response_schema={"type": "object"})
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
        (b"--b\r\n\x00\r\n\r\n", f"multipart/form-data; boundary={BOUNDARY}; charset=nonsense"),
    ],
)
@pytest.mark.anyio
async def test_what_is_no_form_is_refused(page: Page, whole: bytes, kind: str) -> None:
    reply = await page.sends(whole=whole, headers={"Content-Type": kind})
    assert reply.status_code == 422
    assert await page.answer() is None


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
