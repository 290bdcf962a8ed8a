"""Write docs/pictures: the pages as people see them, on a phone and on a desk, in light and dark.

A shop's application runs here with real questions in it, and Chromium looks
at its pages. The clock stands still, so that pictures change where pages do.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import uvicorn
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from starlette.types import ASGIApp

from scripts.shop import Shop

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
DESK, PHONE = (1180, 780), (360, 740)
_START_SECONDS = 20

Scheme = Literal["light", "dark"]


def _nothing(_: Page) -> None:
    pass


def _send(page: Page) -> None:
    page.locator("form.answer button.primary").click()


def _print(page: Page) -> None:
    page.emulate_media(media="print")


def _fill(page: Page) -> None:
    page.get_by_text("A voucher").click()
    page.get_by_label("Type your name").fill("Ana Ruiz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A page, and what somebody does on it before the picture is taken."""

    name: str
    path: str
    who: str = "ana"
    act: Callable[[Page], object] = _nothing
    language: str = "en"


def scenes(shop: Shop) -> list[Scene]:
    """List what is shown in the documentation."""
    task = shop.path
    return [
        Scene(name="queue", path="/", who="olga"),
        Scene(name="question", path=task("refund")),
        Scene(name="rows", path=task("invoice"), act=_send),
        Scene(name="fields", path=task("complaint"), act=_fill),
        Scene(name="done", path=f"{task('answered')}/done"),
        Scene(name="closed", path=task("answered")),
        Scene(name="expired", path=task("expired")),
        Scene(name="forbidden", path=task("branches")),
        Scene(name="lost", path="/l/of-nothing", who=""),
        Scene(name="figures", path="/figures", who="olga"),
        Scene(name="link", path=shop.link("refund"), who=""),
        Scene(name="german", path="/", who="olga", language="de"),
        Scene(name="paper", path=task("answered"), act=_print),
    ]


def take(browser: Browser, url: str, scene: Scene, scheme: Scheme, size: tuple[int, int]) -> bytes:
    """Open a page, act on it, and return what it looks like."""
    width, height = size
    with browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        locale=scene.language,
        timezone_id="Europe/Berlin",
        reduced_motion="reduce",
    ) as context:
        if scene.who:
            context.add_cookies([{"name": "user", "value": scene.who, "url": url}])
        page = context.new_page()
        page.goto(f"{url}{scene.path}")
        scene.act(page)
        return page.screenshot(full_page=True)


def save(picture: bytes, place: Path) -> None:
    """Write a picture in 256 colours, which is all that a page has."""
    Image.open(BytesIO(picture)).convert("RGB").quantize(256).save(place, optimize=True)


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve the application on a free port of this machine."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        give_up = time.monotonic() + _START_SECONDS
        while not server.started and thread.is_alive() and time.monotonic() < give_up:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}{Shop.mount}"
    finally:
        server.should_exit = True
        thread.join()


def main() -> None:
    """Take the pictures that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    logging.getLogger("awaithumans").setLevel(logging.ERROR)  # where the clock jumps, all is done late
    shop = Shop()
    arguments.folder.mkdir(exist_ok=True)
    with serving(shop.app) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for scene in scenes(shop):
            if arguments.names and scene.name not in arguments.names:
                continue
            for kind, size in (("desk", DESK), ("phone", PHONE)):
                for scheme in ("light", "dark"):
                    picture = take(browser, url, scene, scheme, size)
                    save(picture, arguments.folder / f"{scene.name}-{kind}-{scheme}.png")
        browser.close()


if __name__ == "__main__":
    main()
