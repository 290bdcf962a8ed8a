"""What somebody wrote in reply: their own words, and whether a person wrote at all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.policy import compat32
from email.utils import getaddresses
from html.parser import HTMLParser
from itertools import islice

MAX_TEXT = 20_000
"""Characters of a reply, and of each of its headers, that are looked at; markup included."""
MAX_PARTS = 100
"""Parts of a reply that are looked at; so deep they may be nested."""

_ADDRESSED = ("To", "Cc", "Delivered-To", "X-Original-To", "X-Forwarded-To", "Envelope-To")

# ── Who wrote ─────────────────────────────────────────────────────────────────

_TELLTALE = (
    *("X-Autoreply", "X-Autorespond", "X-Autoresponder", "X-Auto-Reply", "X-Mail-Autoreply", "X-Failed-Recipients"),
    *("List-Id", "List-Post", "List-Unsubscribe", "X-Loop"),
)
_ROBOT = re.compile(r"(mailer-daemon|postmaster|no-?reply|do-?not-?reply|bounces?)([+=-].*)?@", re.IGNORECASE)
_AWAY = re.compile(
    r"\s*(auto(matic|mated)?:|auto(matic|mated)?[ -]?(reply|response)|out of (the )?office|abwesend|abwesenheits"
    r"|automatische (antwort|reactie)|réponse automatique|absence du bureau|respuesta automática"
    r"|fuera de (la )?oficina|risposta automatica|fuori sede|resposta automática|autosvar|automatiskt? svar"
    r"|automaattinen vastaus|automatyczna odpowiedź|automatická odpověď|自動応答|自动回复|자동 회신)",
    re.IGNORECASE,
)


def read(message: bytes | EmailMessage) -> Message:
    """Read a mail as it came; what is malformed in it is left as it is.

    Anybody can send one, so nothing here and below raises, whatever stands in
    it. One that cannot be read is empty.
    """
    try:
        return message_from_bytes(message if isinstance(message, bytes) else message.as_bytes(policy=compat32))
    except (RecursionError, ValueError):  # parts in parts; a parameter with a number of thousands of digits
        return Message()


def is_automatic(message: Message) -> bool:
    """Tell whether a program wrote this: an absence note, a bounce, a mailing list."""
    said = {name: str(message.get(name, "")).strip().lower() for name in _SAYING}
    return any(
        (
            said["Auto-Submitted"] not in {"", "no"},
            said["Precedence"] in {"bulk", "junk", "list", "auto_reply"},
            bool({"all", "oof", "autoreply"} & set(re.split(r"[,;\s]+", said["X-Auto-Response-Suppress"]))),
            said["Return-Path"] == "<>",
            message.get_content_type() in {"multipart/report", "message/delivery-status", "text/calendar"},
            any(name in message for name in _TELLTALE),
            _ROBOT.match(sender_of(message)) is not None,
            _AWAY.match(_subject(message)) is not None,
        )
    )


_SAYING = ("Auto-Submitted", "Precedence", "X-Auto-Response-Suppress", "Return-Path")


def sender_of(message: Message) -> str:
    """Return the address in `From`, as it claims; empty if there is none."""
    return _addresses(message, ["From"])[0] if message.get("From") else ""


def addressed_to(message: Message) -> list[str]:
    """List every address that the message says it was sent to."""
    return _addresses(message, _ADDRESSED)


def _addresses(message: Message, names: Sequence[str]) -> list[str]:
    values = [str(value)[:MAX_TEXT] for name in names for value in message.get_all(name, [])]
    try:
        return [address for _, address in getaddresses(values)] or [""]
    except RecursionError:  # brackets in brackets
        return [""]


def _subject(message: Message) -> str:
    raw = str(message.get("Subject", ""))[:MAX_TEXT]
    try:
        return str(make_header(decode_header(raw)))
    except (LookupError, ValueError, MessageError):
        return raw


# ── What they wrote ───────────────────────────────────────────────────────────

_DIVIDER = re.compile(r"\s*(_{20,}|[-_]{3,}\s*[^\s_-].*[^\s_-]\s*[-_]{3,})\s*")
_ON = re.compile(r"(On|Am|Le|El|Il|Op|Em|Den|Dne|W dniu|Dnia|Il giorno|På|Pe|A|La|Στις|В|Dana)\s")
_WROTE = re.compile(
    r"wrote|schrieb|écrit|escribió|scritto|schreef|escreveu|skrev|napsal|napisał|pisze|kirjoitti|a scris|írta|έγραψε"
    r"|пишет|написал|je napisao"
)
_WROTE_LAST = re.compile(r"(写道|寫道|書きました|のメール|작성|yazdı)\s*[:：]$")
_ADDRESS = re.compile(r"[^\s<>@]@[^\s<>@]")
_FROM = r"From|Von|De|Da|Van|Från|Fra|Od|Lähettäjä|Feladó|От|Kimden|差出人|发件人|寄件者|보낸 사람"
_OTHERS = (
    r"Sent|Date|To|Subject|Gesendet|Datum|An|Betreff|Envoyé|À|Objet|Enviado|Enviada|Fecha|Para|Asunto|Assunto|Inviato|A|Oggetto"
    r"|Verzonden|Aan|Onderwerp|Skickat|Till|Ämne|Sendt|Til|Emne|Wysłano|Do|Temat|Odesláno|Komu|Předmět|Lähetetty|Aihe"
    r"|送信日時|宛先|件名|发送时间|收件人|主题|보낸 날짜|받는 사람|제목"
)
_HEADER_BLOCK = re.compile(rf"[*\s]*({_FROM})\s*[:：].*")
_HEADER_BLOCK_GOES_ON = re.compile(rf"[*\s]*({_OTHERS})\s*[:：].*")
_SENT_FROM = re.compile(
    r"(Sent from|Sent with|Sent via|Get Outlook for|Gesendet (von|mit)|Von meinem|Envoyé (de|depuis|à partir)"
    r"|Enviado (desde|do|de)|Inviato da|Verzonden (vanaf|met)|Skickat från|Sendt fra|Lähetetty"
    r"|Wysłane z|Odesláno z)\b.{0,60}",
    re.IGNORECASE,
)
_LINES_OF_AN_ATTRIBUTION = 4
_LONGEST_ATTRIBUTION = 400
_LONGEST_DIVIDER = 200


def own_words(message: Message) -> str:
    """Return what the writer added: without the mail replied to, and without a signature.

    Words between and below quoted lines belong to it. Where it cannot be told
    what is quoted, that is left in.
    """
    plain = _part(message, "text/plain")
    text = plain if plain.strip() else _text_of_html(_part(message, "text/html"))
    lines = text.replace("\r\n", "\n").replace("\xa0", " ").split("\n")
    return "\n".join(_without_signature(_without_quotes([line.strip() for line in lines]))).strip()


def is_read_in_part(message: Message) -> bool:
    """Tell whether `own_words` may miss some: half of what somebody says may mean the opposite."""
    parts = [*islice(message.walk(), MAX_PARTS + 1)]
    texts = [_decoded(part) for part in parts if _is_text(part, "text/plain")]
    if not texts or not texts[0].strip():
        texts = [_decoded(part) for part in parts if _is_text(part, "text/html")]
    return len(parts) > MAX_PARTS or len(texts) > 1 or any(len(text) > MAX_TEXT for text in texts)


def _part(message: Message, kind: str) -> str:
    for part in islice(message.walk(), MAX_PARTS):
        if _is_text(part, kind):
            return _decoded(part)[:MAX_TEXT]
    return ""


def _is_text(part: Message, kind: str) -> bool:
    return part.get_content_type() == kind and part.get_content_disposition() != "attachment"


def _decoded(part: Message) -> str:
    payload = part.get_payload(decode=True)
    raw = payload if isinstance(payload, bytes) else b""
    try:
        return raw.decode(part.get_content_charset("utf-8"), errors="replace")
    except (LookupError, ValueError):
        return raw.decode(errors="replace")


def _without_quotes(lines: Sequence[str]) -> list[str]:
    own: list[str] = []
    place = 0
    while place < len(lines):
        if _begins_the_rest(lines, place):
            break
        length = _attribution(lines, place)
        if length and not _quoted_next(lines, place + length):
            break
        if not (length or lines[place].startswith(">")):
            own.append(lines[place])
        place += length or 1
    return own


def _begins_the_rest(lines: Sequence[str], place: int) -> bool:
    """Tell whether all from here on is the mail that was replied to."""
    if len(lines[place]) <= _LONGEST_DIVIDER and _DIVIDER.fullmatch(lines[place]):
        return True
    followers = [line for line in lines[place + 1 : place + 8] if line][:2]
    return (
        bool(_HEADER_BLOCK.fullmatch(lines[place]))
        and len(followers) > 1
        and all(_HEADER_BLOCK_GOES_ON.fullmatch(line) for line in followers)
    )


def _attribution(lines: Sequence[str], place: int) -> int:
    """Count the lines here that only say who wrote what is quoted below."""
    line = lines[place]
    if _looks_like_an_attribution(line) and _WROTE_LAST.search(line):
        return 1
    if _looks_like_an_attribution(line) and _ADDRESS.search(line) and _quoted_next(lines, place + 1):
        return 1
    return _wrapped_attribution(lines[place : place + _LINES_OF_AN_ATTRIBUTION]) if _ON.match(line) else 0


def _wrapped_attribution(lines: Sequence[str]) -> int:
    """Count the lines of `On … wrote:`, which may be broken anywhere.

    A line before one is never part of it: it may be the writer's own.
    """
    for length, line in enumerate(lines, start=1):
        if not line or (length > 1 and _ON.match(line)):
            return 0
        text = " ".join(lines[:length])
        if _looks_like_an_attribution(text) and _WROTE.search(text):
            return length
    return 0


def _looks_like_an_attribution(text: str) -> bool:
    return len(text) <= _LONGEST_ATTRIBUTION and text.endswith((":", "：")) and any(map(str.isdigit, text))


def _quoted_next(lines: Sequence[str], place: int) -> bool:
    return next((line for line in lines[place:] if line), "").startswith(">")


def _without_signature(lines: list[str]) -> list[str]:
    if "--" in lines:
        lines = lines[: lines.index("--")]
    while lines and (not lines[-1] or _SENT_FROM.fullmatch(lines[-1])):
        lines = lines[:-1]
    return lines


# ── HTML ──────────────────────────────────────────────────────────────────────

_UNSEEN = {"script", "style", "head", "title", "template"}
_QUOTING = {"gmail_quote", "gmail_quote_container", "gmail_attr", "yahoo_quoted", "moz-cite-prefix", "protonmail_quote"}
_THE_REST = {"divrplyfwdmsg", "appendonsend", "mail-editor-reference-message-container"}
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_BLOCKS = {"p", "div", "br", "tr", "li", "table", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre"}


class _Reader(HTMLParser):
    """Reads what is not quoted, line by line."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self._skipped: list[str] = []  # the open tags of what is left out, outermost first
        self._over = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: (value or "").lower() for name, value in attrs}
        self._over |= given.get("id", "") in _THE_REST
        quoted = tag == "blockquote" or not _QUOTING.isdisjoint(given.get("class", "").split())
        if tag not in _VOID and (self._skipped or quoted or tag in _UNSEEN):
            self._skipped.append(tag)
        elif tag == "hr":
            self._add("\n" + "_" * 32 + "\n")
        elif tag in _BLOCKS:
            self._add("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._skipped:
            while self._skipped.pop() != tag:
                pass
        elif tag in _BLOCKS:
            self._add("\n")

    def handle_data(self, data: str) -> None:
        self._add(re.sub(r"\s+", " ", data))

    def _add(self, text: str) -> None:
        if not (self._skipped or self._over):
            self.text.append(text)


def _text_of_html(markup: str) -> str:
    """Return the text; none where the markup cannot be read to its end, since half of it may mean the opposite."""
    reader = _Reader()
    try:
        reader.feed(markup)
        reader.close()
    except AssertionError:  # how the library says that a declaration is malformed
        return ""
    return "".join(reader.text)
