"""Every kind of field in a browser: with mouse, keyboard and thumb, with and without JavaScript."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect
from starlette.applications import Starlette
from starlette.types import ASGIApp

from awaithumans.forms import (
    FormDefinition,
    FormField,
    PictureOption,
    SelectOption,
    currency,
    display_text,
    file_upload,
    html,
    image,
    opinion_scale,
    pdf_viewer,
    picture_choice,
    ranking,
    rich_text,
    section_collapse,
    short_text,
    signature,
    slider,
    star_rating,
    subform,
    switch,
    validate_response,
    video,
)
from tests.forms.test_signatures import png
from tests.web.test_browser import Site, ensure_accessible, ensure_narrow
from tests.web.world import World, as_program, body

PIXEL = f"data:image/png;base64,{base64.b64encode(png()).decode()}"
CRITERIA = [SelectOption(value=name.lower(), label=name) for name in ("Speed", "Price", "Care")]
LAMPS = [
    PictureOption(value="blue", label="Blue lamp", image_url=PIXEL),
    PictureOption(value="red", label="Red lamp", image_url="https://img.example/red.png"),
]
RECEIPT: FilePayload = {"name": "receipt.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7"}
both = pytest.mark.parametrize("javascript", [True, False])


def named(name: str, field: FormField, **changes: object) -> FormField:
    return field.model_copy(update={"name": name, **changes})


def called(name: str) -> FilePayload:
    return {"name": name, "mimeType": RECEIPT["mimeType"], "buffer": RECEIPT["buffer"]}


class Desk:
    """A page with one form, and what became of it."""

    def __init__(self, browser: Browser, site: Site, fields: Sequence[FormField], **options: object) -> None:
        self.form = FormDefinition(fields=tuple(fields)).model_dump(mode="json", exclude_none=True)
        asked = body(response_schema={"type": "object"}, form_definition=self.form, idempotency_key="desk")
        self._site = site
        self._id = site.api.post("/tasks", json=asked, headers=as_program("asker")).json()["id"]
        self.page = site.open(browser, f"/tasks/{self._id}", **options)

    def send(self) -> Any:
        """Send the form; return the answer that the agent gets."""
        self.page.get_by_role("button", name="Send the answer").click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text("Thank you, that is answered")
        value = self._site.api.get(f"/tasks/{self._id}", headers=as_program("admin")).json()["response"]
        assert validate_response(self.form, {"type": "object"}, value) == {}
        return value

    def is_refused(self, fault: str) -> None:
        self.page.get_by_role("button", name="Send the answer").click()
        expect(self.page.get_by_role("alert").filter(visible=True)).to_contain_text(fault)


@pytest.fixture
def site(serve: Callable[[ASGIApp], str]) -> Iterator[Site]:
    world = World(mount="/humans", max_body_bytes=300_000)
    host = Starlette()
    host.mount("/humans", world.router)
    base = f"{serve(host)}/humans"
    with httpx2.Client(base_url=f"{base}/api") as api:
        yield Site(world, base, "", api)


@pytest.fixture
def sit(browser: Browser, site: Site) -> Callable[..., Desk]:
    return lambda *fields, **options: Desk(browser, site, fields, **options)


Sit = Callable[..., Desk]


# ── Files ─────────────────────────────────────────────────────────────────────


@both
def test_a_file_is_sent(sit: Sit, javascript: bool) -> None:  # noqa: FBT001
    desk = sit(named("files", file_upload(label="Receipt", accept=[".pdf"])), java_script_enabled=javascript)
    desk.page.get_by_label("Receipt").set_input_files(RECEIPT)
    data = f"data:application/pdf;base64,{base64.b64encode(RECEIPT['buffer']).decode()}"
    assert desk.send() == {
        "files": [{"name": "receipt.pdf", "mime": "application/pdf", "size": len(RECEIPT["buffer"]), "data": data}]
    }


@both
def test_files_of_a_refused_form_need_not_be_chosen_again(sit: Sit, javascript: bool) -> None:  # noqa: FBT001
    fields = [named("files", file_upload(label="Receipts", multiple=True)), named("code", short_text(label="Code"))]
    desk = sit(*fields, java_script_enabled=javascript)
    desk.page.get_by_label("Receipts", exact=True).set_input_files([RECEIPT, called("wrong.pdf")])
    desk.is_refused("Code: is required")
    expect(desk.page.get_by_label("Code")).to_be_focused()
    expect(desk.page.get_by_label("receipt.pdf")).to_be_checked()
    desk.page.get_by_label("wrong.pdf").uncheck()
    desk.page.get_by_label("Receipts", exact=True).set_input_files(called("more.pdf"))
    desk.page.get_by_label("Code").fill("x")
    assert [file["name"] for file in desk.send()["files"]] == ["receipt.pdf", "more.pdf"]


def test_a_file_of_the_wrong_kind_is_refused_by_the_server(sit: Sit) -> None:
    desk = sit(named("files", file_upload(label="Receipt", accept=[".pdf"])), java_script_enabled=False)
    desk.page.get_by_label("Receipt").set_input_files(called("receipt.exe"))
    desk.is_refused("not of a kind asked for")
    expect(desk.page.get_by_label("Receipt (.pdf)")).to_be_focused()


@pytest.mark.parametrize("size", [150, 290_000])
def test_too_large_a_file_is_not_even_sent(sit: Sit, size: int) -> None:
    limit = 100 if size == 150 else None
    desk = sit(named("files", file_upload(label="Receipt", max_size_bytes=limit)))
    posts: list[str] = []
    desk.page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    desk.page.get_by_label("Receipt").set_input_files({**RECEIPT, "buffer": b"x" * size})
    expect(desk.page.get_by_text("This is larger than can be sent: receipt.pdf")).to_be_visible()
    desk.page.get_by_role("button", name="Send the answer").click()
    expect(desk.page.get_by_label("Receipt")).to_be_focused()
    assert posts == []


def test_without_javascript_too_large_a_file_leads_to_a_page_that_says_so(sit: Sit) -> None:
    desk = sit(named("files", file_upload(label="Receipt")), java_script_enabled=False)
    desk.page.get_by_label("Receipt").set_input_files({**RECEIPT, "buffer": b"x" * 290_000})
    desk.page.get_by_role("button", name="Send the answer").click()
    expect(desk.page.get_by_text("Choose smaller files, or fewer.")).to_be_visible()


@both
def test_files_stay_when_a_row_is_added(sit: Sit, javascript: bool) -> None:  # noqa: FBT001
    rooms = subform([named("photo", file_upload(label="Photo"))], label="Rooms")
    desk = sit(named("rooms", rooms), java_script_enabled=javascript)
    first = desk.page.get_by_role("group", name="Rooms 1", exact=True)
    first.get_by_label("Photo").set_input_files(RECEIPT)
    desk.page.get_by_role("button", name="Add Rooms").click()
    second = desk.page.get_by_role("group", name="Rooms 2", exact=True)
    second.get_by_label("Photo").set_input_files(called("second.pdf"))
    expect(first.get_by_label("receipt.pdf")).to_be_checked()
    assert [room["photo"][0]["name"] for room in desk.send()["rooms"]] == ["receipt.pdf", "second.pdf"]


# ── Signatures ────────────────────────────────────────────────────────────────


def draw(page: Page) -> None:
    canvas = page.locator("canvas")
    canvas.hover(position={"x": 20, "y": 20})
    page.mouse.down()
    for step in range(1, 5):
        canvas.hover(position={"x": 20 + 25 * step, "y": 20 + 10 * step})
    page.mouse.up()


@pytest.mark.parametrize(("kind", "start"), [("png", "data:image/png;base64,"), ("svg", "<svg ")])
def test_a_signature_is_drawn(sit: Sit, kind: Any, start: str) -> None:
    desk = sit(named("s", signature(label="Signature", format=kind)))
    draw(desk.page)
    desk.page.get_by_role("button", name="Clear Signature").click()
    desk.is_refused("Signature: is required")
    draw(desk.page)
    assert desk.send()["s"].startswith(start)


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_signature_is_typed(sit: Sit, kind: Any) -> None:
    desk = sit(named("s", signature(label="Signature", format=kind)))
    desk.page.get_by_label("Type your name").press_sequentially("Ana <B>")
    value = desk.send()["s"]
    assert "Ana &lt;B&gt;" in value if kind == "svg" else value.startswith("data:image/png;base64,")


def test_without_javascript_a_signature_is_typed_or_uploaded(sit: Sit) -> None:
    desk = sit(named("s", signature(label="Signature", format="svg")), java_script_enabled=False)
    desk.page.get_by_label("Type your name").fill("Ana")
    assert ">Ana</text>" in desk.send()["s"]


def test_without_javascript_a_picture_is_uploaded(sit: Sit) -> None:
    desk = sit(named("s", signature(label="Signature")), java_script_enabled=False)
    expect(desk.page.get_by_label("Type your name")).to_be_hidden()
    desk.page.get_by_label("upload a picture").set_input_files(
        {"name": "mine.png", "mimeType": "image/png", "buffer": b"<svg onload=alert(1)>"}
    )
    desk.is_refused("must be a PNG picture")
    desk.page.get_by_label("upload a picture").set_input_files(
        {"name": "mine.png", "mimeType": "image/png", "buffer": png()}
    )
    assert desk.send() == {"s": PIXEL}


@both
def test_a_signature_survives_a_refused_form(sit: Sit, javascript: bool) -> None:  # noqa: FBT001
    fields = [named("s", signature(label="Signature")), named("code", short_text(label="Code"))]
    desk = sit(*fields, java_script_enabled=javascript)
    if javascript:
        draw(desk.page)
    else:
        desk.page.get_by_label("upload a picture").set_input_files(
            {"name": "mine.png", "mimeType": "image/png", "buffer": png()}
        )
    desk.is_refused("Code: is required")
    expect(desk.page.get_by_role("checkbox", name="Your signature")).to_be_checked()
    desk.page.get_by_label("Code").fill("x")
    assert desk.send()["s"].startswith("data:image/png;base64,")


def test_a_signature_is_drawn_by_thumb(sit: Sit) -> None:
    phone = {"width": 360, "height": 740}
    desk = sit(named("s", signature(label="Signature", format="svg")), has_touch=True, viewport=phone)
    canvas = desk.page.locator("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    drag_by_thumb(desk.page, (box["x"] + 20, box["y"] + 20), (box["x"] + 150, box["y"] + 50))
    assert desk.send()["s"].count("L") > 2


def drag_by_thumb(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    device = page.context.new_cdp_session(page)
    at = [(start[0] + (end[0] - start[0]) * step / 5, start[1] + (end[1] - start[1]) * step / 5) for step in range(6)]
    for number, (x, y) in enumerate(at):
        device.send(
            "Input.dispatchTouchEvent",
            {"type": "touchMove" if number else "touchStart", "touchPoints": [{"x": x, "y": y}]},
        )
    device.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


# ── Choices and scales ────────────────────────────────────────────────────────


@both
def test_pictures_are_chosen(sit: Sit, javascript: bool) -> None:  # noqa: FBT001
    requests: list[str] = []
    desk = sit(named("lamp", picture_choice(LAMPS, label="Lamp")), java_script_enabled=javascript)
    desk.page.on("request", lambda request: requests.append(request.url))
    desk.page.reload()
    expect(desk.page.locator(".pictured img")).to_have_count(1)
    expect(desk.page.get_by_role("link", name="Picture Red lamp")).to_have_attribute("href", LAMPS[1].image_url)
    assert not [url for url in requests if "img.example" in url]
    desk.page.get_by_label("Blue lamp").check()
    assert desk.send() == {"lamp": ["blue"]}


def test_several_pictures_are_chosen(sit: Sit) -> None:
    desk = sit(named("lamp", picture_choice(LAMPS, label="Lamp", multiple=True)))
    for label in ("Blue lamp", "Red lamp"):
        desk.page.get_by_label(label).check()
    assert desk.send() == {"lamp": ["blue", "red"]}


@both
def test_scales_are_chosen(sit: Sit, javascript: bool) -> None:  # noqa: FBT001
    fields = [
        named("stars", star_rating(label="Stars")),
        named("nps", opinion_scale(label="Recommend?", min=0, min_label="never", max_label="surely")),
        named("score", opinion_scale(label="Score", max=100)),
    ]
    desk = sit(*fields, java_script_enabled=javascript)
    desk.is_refused("Stars: is required")
    expect(desk.page.get_by_role("radio", name="1 star")).to_be_focused()
    desk.page.get_by_role("radio", name="4 stars").check(force=True)
    desk.page.get_by_role("radio", name="10 surely").check(force=True)
    desk.page.get_by_label("Score").fill("55")
    assert desk.send() == {"stars": 4, "nps": 10, "score": 55}


def test_stars_are_chosen_by_keyboard(sit: Sit) -> None:
    desk = sit(named("stars", star_rating(label="Stars")))
    desk.page.get_by_role("radio", name="1 star").focus()
    desk.page.keyboard.press("Space")
    for _ in range(2):
        desk.page.keyboard.press("ArrowRight")
    assert desk.send() == {"stars": 3}


def test_an_optional_choice_can_be_taken_back(sit: Sit) -> None:
    fields = [
        named("tell", switch(label="Tell them?"), required=False),
        named("stars", star_rating(label="Stars"), required=False),
    ]
    desk = sit(*fields, java_script_enabled=False)
    desk.page.get_by_label("Yes").check()
    desk.page.get_by_role("radio", name="4 stars").check(force=True)
    for none in desk.page.get_by_label("No answer").all():
        none.check()
    assert desk.send() == {}


# ── Sliders and numbers ───────────────────────────────────────────────────────


@both
def test_a_slider_gives_the_exact_number(sit: Sit, javascript: bool) -> None:  # noqa: FBT001
    field = slider(label="Discount", max=1, step=0.1, suffix="%")
    desk = sit(named("discount", field), java_script_enabled=javascript)
    desk.is_refused("Discount: is required")
    line = desk.page.get_by_role("textbox", name="Discount")
    line.fill("0.35")
    desk.is_refused("must be in steps of 0.1 from 0")
    expect(line).to_have_value("0.35")
    line.fill("0.3")
    assert desk.send() == {"discount": 0.3}


def test_a_slider_slides(sit: Sit) -> None:
    desk = sit(named("discount", slider(label="Discount", max=1, step=0.1)))
    desk.page.get_by_role("slider", name="Discount").press("ArrowRight")
    line = desk.page.get_by_role("textbox", name="Discount")
    expect(line).to_have_value("0.6")
    desk.page.get_by_role("slider", name="Discount").press("Home")
    desk.page.get_by_role("slider", name="Discount").press("ArrowRight")
    assert desk.send() == {"discount": 0.1}


# ── Rankings ──────────────────────────────────────────────────────────────────


@both
def test_a_ranking_is_ordered_by_buttons(sit: Sit, javascript: bool) -> None:  # noqa: FBT001
    desk = sit(named("order", ranking(CRITERIA, label="Order")), java_script_enabled=javascript)
    button = desk.page.get_by_role("button", name="Move Care up")
    button.press("Enter")
    expect(desk.page.locator(".ranked")).to_have_text(["Speed", "Care", "Price"])
    expect(button).to_be_focused()
    button.press("Enter")
    expect(desk.page.locator(".ranked")).to_have_text(["Care", "Speed", "Price"])
    expect(button).to_be_focused()
    desk.page.get_by_role("button", name="Move Speed down").press("Enter")
    expect(desk.page.locator(".ranked")).to_have_text(["Care", "Price", "Speed"])
    expect(desk.page.get_by_role("button", name="Move Speed down")).to_be_focused()
    assert desk.send() == {"order": ["care", "price", "speed"]}


def test_a_move_is_announced(sit: Sit) -> None:
    desk = sit(named("order", ranking(CRITERIA, label="Order")))
    desk.page.get_by_role("button", name="Move Care up").click()
    expect(desk.page.locator(".ranking [role=status]")).to_have_text("Care is now in place 2 of 3")


@pytest.mark.parametrize("touch", [False, True])
def test_a_ranking_is_ordered_by_dragging(sit: Sit, touch: bool) -> None:  # noqa: FBT001
    desk = sit(named("order", ranking(CRITERIA, label="Order")), has_touch=touch)
    grips = desk.page.locator(".grip")
    grips.first.scroll_into_view_if_needed()
    first, last = grips.first.bounding_box(), grips.last.bounding_box()
    assert first
    assert last
    start, end = (first["x"] + 10, first["y"] + 20), (last["x"] + 10, last["y"] + last["height"] * 0.9)
    if touch:
        drag_by_thumb(desk.page, start, end)
    else:
        desk.page.mouse.move(*start)
        desk.page.mouse.down()
        desk.page.mouse.move(*end, steps=8)
        desk.page.mouse.up()
    expect(desk.page.locator(".ranked")).to_have_text(["Price", "Care", "Speed"])
    assert desk.send() == {"order": ["price", "care", "speed"]}


@both
def test_an_optional_ranking_is_left_out_until_it_is_touched(sit: Sit, javascript: bool) -> None:  # noqa: FBT001
    fields = [
        named("one", ranking(CRITERIA, label="One"), required=False),
        named("two", ranking(CRITERIA, label="Two"), required=False),
    ]
    desk = sit(*fields, java_script_enabled=javascript)
    two = desk.page.get_by_role("group", name="Two")
    two.get_by_role("button", name="Move Price up").click()
    expect(two.get_by_label("No answer")).not_to_be_checked()
    assert desk.send() == {"two": ["price", "speed", "care"]}


# ── Text, sections, and what is shown ─────────────────────────────────────────


def test_text_is_formatted(sit: Sit) -> None:
    desk = sit(named("reply", rich_text(label="Reply")))
    area = desk.page.get_by_label("Reply")
    area.fill("Hello")
    area.select_text()
    desk.page.get_by_role("button", name="Bold").click()
    expect(area).to_be_focused()
    assert desk.send() == {"reply": "**Hello**"}


@both
def test_a_closed_section_opens_where_something_is_wrong_in_it(sit: Sit, javascript: bool) -> None:  # noqa: FBT001
    inside = [named("code", short_text(label="Code"))]
    fields = [section_collapse("More", inside, default_open=False), named("last", short_text(label="Last"))]
    desk = sit(*fields, java_script_enabled=javascript)
    expect(desk.page.get_by_label("Code")).to_be_hidden()
    expect(desk.page.get_by_label("Last")).to_be_visible()
    desk.is_refused("Code: is required")
    expect(desk.page.get_by_label("Code")).to_be_focused()
    desk.page.get_by_label("Code").fill("1")
    desk.page.get_by_label("Last").fill("2")
    assert desk.send() == {"code": "1", "last": "2"}


MARKUP = """<h2>Markup</h2><script>parent.document.title = "taken"; document.title = "taken"</script>
<img src="{elsewhere}/x.png" onerror="parent.document.title = 'taken'">
<form action="{elsewhere}/"><button>Send</button></form>
<a href="{elsewhere}/" target="_top">away</a>"""


def test_markup_is_shown_where_it_can_do_nothing(sit: Sit) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        port = elsewhere.getsockname()[1]
        desk = sit(html(MARKUP.format(elsewhere=f"http://127.0.0.1:{port}")), named("ok", switch(label="Fine?")))
        frame = desk.page.frame_locator("iframe")
        expect(frame.get_by_role("heading", name="Markup")).to_be_visible()
        title, address = desk.page.title(), desk.page.url
        frame.get_by_role("button", name="Send").click()
        frame.get_by_role("link", name="away").click()
        expect(desk.page.get_by_text("Fine?")).to_be_visible()
        assert (desk.page.title(), desk.page.url) == (title, address)
        assert "taken" not in title
        with pytest.raises(BlockingIOError):  # nobody has called
            elsewhere.accept()


def test_media_from_elsewhere_are_links(sit: Sit) -> None:
    fields = [
        image("https://img.example/a.png", alt="A lamp"),
        image(PIXEL, alt="A pixel"),
        video("https://img.example/a.mp4"),
        pdf_viewer("https://img.example/a.pdf"),
        display_text("**Bold** and <b>markup</b>", markdown=True),
        named("ok", switch(label="Fine?")),
    ]
    desk = sit(*fields)
    expect(desk.page.get_by_role("link", name="A lamp")).to_be_visible()
    expect(desk.page.get_by_role("img", name="A pixel")).to_be_visible()
    expect(desk.page.get_by_role("link", name="https://img.example/a.mp4")).to_be_visible()
    expect(desk.page.get_by_role("link", name="https://img.example/a.pdf")).to_be_visible()
    expect(desk.page.locator("strong", has_text="Bold")).to_be_visible()
    expect(desk.page.locator(".card b")).to_have_count(0)


# ── All together ──────────────────────────────────────────────────────────────

EVERYTHING = [
    display_text("Please help", markdown=True),
    named("files", file_upload(label="Receipts", hint="All of them", multiple=True, max_count=3)),
    named("s", signature(label="Signature")),
    named("lamp", picture_choice(LAMPS, label="Lamp")),
    named("order", ranking(CRITERIA, label="Order"), required=False),
    named("stars", star_rating(label="Stars"), required=False),
    named("nps", opinion_scale(label="Recommend?", min=0, min_label="never", max_label="surely")),
    named("discount", slider(label="Discount", suffix="%")),
    named("amount", currency(label="Amount", currency_code="EUR")),
    named("reply", rich_text(label="Reply")),
    section_collapse("More", [named("code", short_text(label="Code"))], subtitle="If needed"),
    image(PIXEL, alt="A pixel"),
    html("<p>Markup</p>"),
    named("rooms", subform([named("photo", file_upload(label="Photo")), named("mark", star_rating())], label="Rooms")),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_every_kind_is_accessible_and_fits(sit: Sit, width: int, scheme: str) -> None:
    desk = sit(*EVERYTHING, viewport={"width": width, "height": 800}, color_scheme=scheme)
    ensure_accessible(desk.page)
    ensure_narrow(desk.page)
    desk.page.get_by_label("Receipts").set_input_files(RECEIPT)
    draw(desk.page)
    desk.is_refused("Lamp: choose one")
    ensure_accessible(desk.page)
    ensure_narrow(desk.page)


def test_what_is_pressed_is_large_enough_for_a_thumb(sit: Sit) -> None:
    desk = sit(*EVERYTHING, viewport={"width": 360, "height": 800}, has_touch=True)
    small = desk.page.evaluate(
        """() => [...document.querySelectorAll("form.answer :is(button, summary, .choice, .step, input, .grip)")]
          .filter((one) => one.checkVisibility() && !one.closest("label") && one.type !== "hidden")
          .map((one) => [one.outerHTML.slice(0, 80), one.getBoundingClientRect()])
          .filter(([, box]) => box.height < 44 || box.width < 44).map(([html]) => html)"""
    )
    assert small == []


def test_scripts_come_only_with_the_fields_they_are_for(sit: Sit) -> None:
    def scripts(page: Page) -> list[str]:
        sources = page.locator("script").evaluate_all("all => all.map((one) => one.src.split('/').pop())")
        return [source for source in sources if source in {"fields.js", "sign.js"}]

    assert scripts(sit(named("ok", switch())).page) == []


def test_a_form_with_a_pad_has_its_script(sit: Sit) -> None:
    desk = sit(named("s", signature()))
    assert desk.page.locator("script[src$='sign.js']").count() == 1
