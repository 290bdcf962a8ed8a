"""Markdown as HTML: no HTML of its author's, and nothing fetched that the host did not allow."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup

from awaithumans.web.media import Media
from awaithumans.web.texts import anchor, aside, diff_lines, file_name, leads_to, linked, plain

MAX_CHARACTERS = 10_000
"""Longer texts are shown as they are written: a page is made within milliseconds."""

_LINK = re.compile(r"https?://[^/\\@]+(?:[/?#].*)?|mailto:[^?]+", re.IGNORECASE)
_LANGUAGE = re.compile(r"[\w+#.-]{0,20}")
_LOWEST = 6
_ALIGNED = {"text-align:right": "number", "text-align:center": "centred"}


class Markdown:
    """Writes Markdown as HTML, by the rule of one router for pictures."""

    def __init__(self, media: Media) -> None:
        self._media = media
        self._parser = MarkdownIt("commonmark", {"html": False, "breaks": True}, renderer_cls=_Renderer)
        self._parser.enable(["table", "strikethrough"])
        self._parser.validateLink = _is_address  # type: ignore[method-assign,assignment] # as it is documented
        self._parser.normalizeLinkText = _as_written  # type: ignore[method-assign,assignment] # not xn-- as what it looks like
        self._parser.disable("reference")  # its titles, and unused ones, would be hidden
        self._parser.core.ruler.push("fit", _fit)
        self._parser.core.ruler.push("numbers", _number)

    def __call__(self, text: str, level: int = 3) -> Markup:
        """Write a text; its headings begin at a level of the page's.

        A text that is too long for it is shown as it is written.
        """
        if len(text) > MAX_CHARACTERS:
            return Markup('<div class="prose">{}</div>').format(linked(text))
        html: str = self._parser.render(text, {"media": self._media, "level": level})
        return Markup(html)  # noqa: S704 - escaped by the rules below


def _is_address(address: str) -> bool:
    """Tell whether something may be a link or a picture; anything else stays text."""
    return _LINK.fullmatch(address) is not None or address.startswith(("/", "data:image/"))


def _as_written(address: str) -> str:
    return address


def _fit(state: StateCore) -> None:
    """Make headings those of a part of the page, and let classes align what styles would."""
    above = state.env["level"] - 1
    deepest = above
    for token in state.tokens:
        if token.type == "heading_open":
            deepest = min(above + int(token.tag[1]), deepest + 1, _LOWEST)
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{deepest}"
        if style := token.attrs.pop("style", None):
            token.attrs["class"] = _ALIGNED.get(str(style), "")


def _number(state: StateCore) -> None:
    """Keep the numbers of a list as they were written, unless all of them are the same."""
    lists: list[list[Token]] = []
    for token in state.tokens:
        if token.type in {"ordered_list_open", "bullet_list_open"}:
            lists.append([])
        elif token.type == "list_item_open":
            lists[-1].append(token)
        elif token.type in {"ordered_list_close", "bullet_list_close"}:
            items = lists.pop()
            if len({item.info for item in items}) > 1:
                for item in items:
                    item.attrs["value"] = int(item.info)


class _Renderer(RendererHTML):
    """Escapes all text by our own rules."""

    def text(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:  # noqa: ARG002
        content = tokens[idx].content
        return str(plain(content) if env.get("within") else linked(content))

    def code_inline(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:  # noqa: ARG002
        return f"<code>{plain(tokens[idx].content)}</code>"

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:  # noqa: ARG002
        return str(code(tokens[idx].content))

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:  # noqa: ARG002
        info = tokens[idx].info.strip()
        said = Markup("") if _LANGUAGE.fullmatch(info) else Markup("<p>{}</p>\n").format(linked(info))
        return str(said + code(tokens[idx].content, is_diff=info.partition(" ")[0] in {"diff", "patch"}))

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:  # noqa: ARG002
        return '<div class="scroll" tabindex="0"><table>\n'

    def table_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:  # noqa: ARG002
        return "</table></div>\n"

    def link_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:  # noqa: ARG002
        address = str(tokens[idx].attrs["href"])
        env["within"] = "a" if _LINK.fullmatch(address) else "span"
        if env["within"] == "span":  # paths of the host's own site are for the host to link
            return "<span>"
        said = tokens[idx + 1].content if tokens[idx].info == "auto" else ""
        env["after"] = leads_to(address, said) + _titled(tokens[idx])
        return str(anchor(address, "")).removesuffix("</a>")

    def link_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:  # noqa: ARG002
        return f"</{env.pop('within')}>{env.pop('after', '')}"

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[idx]
        address = str(token.attrs["src"])
        words = self.renderInlineAsText(token.children, options, env)
        if env["media"].inline(address, "image"):
            picture = Markup('<img class="picture" src="{}" alt="{}" loading="lazy">').format(address, words)
            return str(picture + _titled(token))
        name = words or file_name(address) or address
        if env.get("within") or not _LINK.fullmatch(address):
            return str(plain(name) + _titled(token))
        return str(anchor(address, name) + leads_to(address) + _titled(token))


def _titled(token: Token) -> Markup:
    """Say what a browser would show to those alone who point at it."""
    title = token.attrs.get("title")
    return aside(str(title)) if title else Markup("")


def code(text: str, *, is_diff: bool = False) -> Markup:
    """Write code, with each of its blanks; of a diff, each line says by its colour and sign what became of it."""
    if not is_diff:
        return Markup('<pre tabindex="0"><code>{}</code></pre>\n').format(plain(text))
    marked = diff_lines(text.removesuffix("\n"))
    lines = (Markup('<span class="{}">{}</span>').format(part or "same", plain(line)) for part, line in marked)
    return Markup('<pre class="diff" tabindex="0"><code>{}</code></pre>\n').format(Markup("").join(lines))
