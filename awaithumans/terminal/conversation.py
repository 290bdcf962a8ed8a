"""What is said to the person at a screen, and what becomes of the replies.

A conversation is a generator: it yields what to ask and is sent the lines that
were typed, so it knows nothing of where they come from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, TypeVar

from awaithumans.display import Shown, shown
from awaithumans.forms import Choice, Control, Submission, Typed, parse, render_fields
from awaithumans.terminal.screen import Screen, indented, printable, value_lines, wrapped
from awaithumans.types import JsonObject, Task
from awaithumans.waiting import time_left

QUIT = ":q"
BLANK = ":empty"
END = "."
MAX_LINE_BYTES = 4095
"""How long a line a terminal takes; it drops what is typed beyond."""
_LONG_DEFAULT = 30
_UNTITLED = "Untitled question"
_CHOOSING = frozenset({"switch", "radio", "select", "checkboxes", "ranking"})
_HOW = {
    "date": "a date, like 2026-01-31",
    "time": "a time, like 14:30",
    "datetime-local": "date and time, like 2026-01-31 14:30",
    "checkboxes": "any number of them, with commas between",
    "ranking": "all of them in your order, with commas between",
    "textarea": f"several lines, then one with only a {END}",
    "json": f"JSON; if it does not end by itself, a line with only a {END} ends it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One line to ask for, and what to say before.

    `hidden`: what is typed must not be seen. `fresh`: only what is typed from
    now on may count.
    """

    said: str
    prompt: str
    hidden: bool = False
    fresh: bool = False


T = TypeVar("T")
Talk: TypeAlias = Generator[Ask, str, T]
"""Yields what to ask, is sent what was typed, or thrown EOFError at its end."""


class Conversation:
    """Asks for an answer to one task, field by field."""

    def __init__(
        self,
        task: Task,
        screen: Screen,
        misfits: Callable[[JsonObject], Mapping[str, str]],
        now: datetime,
        *,
        quitting: str = "cancels",
    ) -> None:
        self._spec = task.spec
        self._screen = screen
        self._misfits = misfits
        self._quitting = quitting
        self._left = time_left(task, now)
        self._said: list[str] = []
        self._fresh = True
        self._start = task.spec.initial_response or {}
        self._given: dict[str, Typed] = {}

    def talk(self) -> Talk[JsonObject | None]:
        """Return the answer to send, which fits; None for no answer."""
        try:
            self._show_question()
            for control in self._controls(self._spec.initial_errors):
                if control.widget == "display":
                    self._show(control)
                else:
                    yield from self._fill(control.name, self._spec.initial_errors)
            return (yield from self._settle())
        except EOFError:  # also what :q raises: there is nothing more to come
            return None

    # ── The question ──────────────────────────────────────────────────────────

    def _show_question(self) -> None:
        title, _, text = self._spec.task.strip().partition("\n")
        self._say("", *map(self._screen.strong, self._wrap(title or _UNTITLED)))
        if text.strip():
            self._say(*self._wrap(text.strip()))
        for readable in (shown(self._spec.payload, self._spec.payload_schema), shown(dict(self._spec.metadata))):
            if readable.kind != "empty":
                self._say("", *indented(value_lines(readable, self._screen.columns - 2)))
        self._say("")
        self._explain(f"{self._left} left. {QUIT} {self._quitting}, Enter takes what is in [brackets].")

    def _show(self, control: Control) -> None:
        texts = [text for text in (control.hint, control.text, control.url) if text]
        self._say("", *map(self._screen.strong, self._wrap(control.label) if control.label else ()))
        for text in texts:
            self._say(*self._wrap(text))

    # ── One field ─────────────────────────────────────────────────────────────

    def _fill(self, name: str, errors: Mapping[str, str]) -> Talk[None]:
        control = self._control(name, errors)
        self._show_field(control)
        fault = control.error
        while True:
            if fault:
                self._complain(fault)
            self._given[name] = Typed((yield from self._typed(control)))
            _, faults = self._checked()
            fault = self._control(name, faults).error
            if not fault:
                return

    def _show_field(self, control: Control) -> None:
        notes = ", ".join(self._notes(control))
        label = printable(control.label)
        if len(label) + 2 + len(notes) <= self._screen.columns:
            self._say("", f"{self._screen.strong(label)}  {self._screen.quiet(notes)}".rstrip())
        else:
            self._say("", *map(self._screen.strong, self._wrap(label)))
            self._explain(notes)
        if control.hint:
            self._explain(control.hint)
        if control.widget in _CHOOSING and not _is_plain(control):
            self._show_options(control)
        if not _in_brackets(control):
            self._say(*indented(self._wrap("\n".join(control.values), 2), "| "))

    def _notes(self, control: Control) -> Iterator[str]:
        if not control.required:
            yield "optional"
        if how := _how(control):
            yield how
        if any(control.values) and self._may_be_cleared(control):
            yield f"{BLANK} to clear"

    def _show_options(self, control: Control) -> None:
        for number, option in enumerate(control.options, start=1):
            mark = f"{number}" if _is_numbered(control) else "-"
            first, *rest = self._wrap(option.label, 6)
            self._say(f"  {mark} {first}", *indented(rest, "    "))

    def _typed(self, control: Control) -> Talk[Sequence[str]]:
        """Return what the control would hold."""
        line = yield from self._read(self._prompt(control), hidden=_is_hidden(control))
        if not line.strip():
            return control.values
        if line.strip() == BLANK:
            return _cleared(control)
        match control.widget:
            case "textarea" | "json":
                return (yield from self._lines(line, control))
            case "checkboxes" | "ranking":
                return _several(line, control)
            case "switch" | "radio" | "select":
                return (_choice(line, control),)
            case _:
                return (line,)

    def _lines(self, first: str, control: Control) -> Talk[Sequence[str]]:
        lines: list[str] = []
        line = first
        while line.strip() != END:
            lines.append(line)
            if control.widget == "json" and _is_json("\n".join(lines)):
                break
            try:
                line = yield from self._read("| ")
            except _QuitError:
                raise
            except EOFError:
                break
        return ("\n".join(lines),)

    def _prompt(self, control: Control) -> str:
        if not any(control.values):
            return "> "
        words = _spoken(control) if _in_brackets(control) else "Enter keeps it"
        return f"[{printable(words)}] > "

    # ── The end ───────────────────────────────────────────────────────────────

    def _settle(self) -> Talk[JsonObject]:
        """Return the answer once it fits and the person wants it sent."""
        while True:
            sent, faults = self._checked()
            wrong = [control.name for control in self._asked(faults) if control.error]
            for name in wrong:
                yield from self._fill(name, faults)
            if not wrong and (yield from self._confirmed(faults)):
                return sent.value

    def _confirmed(self, faults: Mapping[str, str]) -> Talk[bool]:
        """Return whether to send; False after something was changed.

        Enter alone sends nothing: it is what a held key and a paste are full of.
        """
        self._show_summary()
        for place, fault in faults.items():
            self._complain(f"{place}: {fault}" if place else fault)
        while True:
            send = "" if faults else "Send? [y]es, "
            reply = (yield from self._read(f"{send}[e]dit, [c]ancel > ", fresh=True)).strip().lower()
            match reply:
                case "y" | "yes" if not faults:
                    return True
                case "c" | "cancel":
                    raise _QuitError
                case "e" | "edit":
                    yield from self._edit()
                    return False
                case _ if (yield from self._change(reply)):
                    return False
                case _:
                    self._complain("e or c" if faults else "y, e or c")

    def _edit(self) -> Talk[None]:
        fields = self._asked({})
        if len(fields) == 1:
            yield from self._fill(fields[0].name, {})
            return
        while not (yield from self._change((yield from self._read(f"Which? (1-{len(fields)}) > ")).strip())):
            self._complain("the number of a line")

    def _change(self, number: str) -> Talk[bool]:
        """Ask again for the field of this number; return whether there is one."""
        fields = self._asked({})
        if not (number.isdecimal() and 1 <= int(number) <= len(fields)):
            return False
        yield from self._fill(fields[int(number) - 1].name, {})
        return True

    def _show_summary(self) -> None:
        fields = self._asked({})
        title = self._spec.task.strip().partition("\n")[0]
        lines = [
            (f"{number:>{len(str(len(fields)))}}  {control.label}", Shown(kind="text", text=_spoken(control) or "-"))
            for number, control in enumerate(fields, start=1)
        ]
        self._say("", *map(self._screen.strong, self._wrap(title or _UNTITLED)))
        self._say("", *indented(value_lines(Shown(kind="pairs", pairs=lines), self._screen.columns - 2)), "")

    # ── What stands in the form ───────────────────────────────────────────────

    def _checked(self) -> tuple[Submission, Mapping[str, str]]:
        """Give what there is so far, and what is wrong with it."""
        sent = parse(self._spec.form, self._spec.response_schema, self._given, self._start)
        return sent, {**self._misfits(sent.value), **sent.errors}

    def _controls(self, errors: Mapping[str, str]) -> list[Control]:
        values = {**self._start, **self._given}
        return render_fields(self._spec.form, self._spec.response_schema, values, errors)

    def _asked(self, errors: Mapping[str, str]) -> list[Control]:
        return [control for control in self._controls(errors) if control.widget != "display"]

    def _control(self, name: str, errors: Mapping[str, str]) -> Control:
        return next(control for control in self._asked(errors) if control.name == name)

    def _may_be_cleared(self, control: Control) -> bool:
        given = {**self._given, control.name: _cleared(control)}
        sent = parse(self._spec.form, self._spec.response_schema, given, self._start)
        return not self._control(control.name, sent.errors).error

    # ── Saying and hearing ────────────────────────────────────────────────────

    def _say(self, *lines: str) -> None:
        self._said += lines

    def _explain(self, text: str) -> None:
        self._say(*map(self._screen.quiet, self._wrap(text)))

    def _complain(self, fault: str) -> None:
        self._say(*map(self._screen.wrong, self._wrap(f"! {fault}")))

    def _wrap(self, text: str, margin: int = 0) -> list[str]:
        return wrapped(text, self._screen.columns - margin)

    def _read(self, prompt: str, *, hidden: bool = False, fresh: bool = False) -> Talk[str]:
        while True:
            said = "".join(f"{each}\n" for each in self._said)
            fresh = fresh or self._fresh
            self._said, self._fresh = [], False
            line = yield Ask(said=said, prompt=prompt, hidden=hidden, fresh=fresh)
            if line.strip() == QUIT:
                raise _QuitError
            fault = _fault_of(line)
            if not fault:
                return line
            self._complain(fault)


class _QuitError(EOFError):
    """The person wants no more of it."""


def _fault_of(line: str) -> str:
    """Say why a line may not be what the person meant; "" if it may."""
    try:
        length = len(line.encode())
    except UnicodeEncodeError:
        return "has characters that this terminal's encoding does not know"
    if length >= MAX_LINE_BYTES:
        return f"is longer than a terminal takes in one line ({MAX_LINE_BYTES} bytes)"
    if any(ord(character) < ord(" ") and character != "\t" for character in line):
        return "has control characters in it, as arrow keys make; type it again"
    return ""


# ── Controls in words ─────────────────────────────────────────────────────────


def _how(control: Control) -> str:
    """Say how to fill in a control."""
    if control.widget == "switch" and _is_plain(control):
        return "yes or no"
    if control.widget != "number":
        return _HOW.get(control.widget, "")
    kind = "a whole number" if control.attributes.get("inputmode") == "numeric" else "a number"
    limits = [f"{word} {control.attributes[key]}" for key, word in _LIMITS.items() if key in control.attributes]
    return " ".join([kind, *limits])


_LIMITS = {"min": "from", "max": "to"}


def _is_plain(control: Control) -> bool:
    """Tell whether it asks for nothing but yes or no."""
    return control.widget == "switch" and [option.label for option in control.options] == ["Yes", "No"]


def _is_numbered(control: Control) -> bool:
    """Tell whether a number can mean only a place in the list."""
    return not any(word.strip().isdecimal() for option in control.options for word in option)


def _is_hidden(control: Control) -> bool:
    return control.attributes.get("type") == "password"


def _in_brackets(control: Control) -> bool:
    words = _spoken(control)
    return len(words) <= _LONG_DEFAULT and "\n" not in words


def _spoken(control: Control) -> str:
    """Say what stands in a control."""
    if _is_hidden(control):
        return "*" * 8 if any(control.values) else ""
    labels = {option.value: option.label for option in control.options}
    return ", ".join(labels.get(value, value) for value in control.values)


def _cleared(control: Control) -> Sequence[str]:
    """Give what stands in a control that was emptied."""
    empty_is_an_option = any(not option.value for option in control.options)
    return () if control.widget in {"checkboxes", "ranking"} or empty_is_an_option else ("",)


def _several(line: str, control: Control) -> Sequence[str]:
    whole = _choice(line, control)
    if whole in {option.value for option in control.options}:
        return (whole,)
    return [_choice(part, control) for part in line.split(",") if part.strip()]


def _choice(typed: str, control: Control) -> str:
    """Find the option that was meant; what means none is left as it is.

    Labels come first: they are all that the person sees.
    """
    word = typed.strip()
    for meant in (_labelled, _numbered, _answered, _valued):
        if (value := meant(word, control)) is not None:
            return value
    return word


def _labelled(word: str, control: Control) -> str | None:
    exactly = [option.value for option in control.options if word in _names(option)]
    loosely = [option.value for option in control.options if word.lower() in map(str.lower, _names(option))]
    return _only(exactly or loosely)


def _names(option: Choice) -> Sequence[str]:
    """Give the words for an option: with its hint, and without."""
    return option.label, option.label.partition(" – ")[0]


def _numbered(word: str, control: Control) -> str | None:
    place = int(word) if word.isdecimal() and _is_numbered(control) and not _is_plain(control) else 0
    return control.options[place - 1].value if 1 <= place <= len(control.options) else None


def _answered(word: str, control: Control) -> str | None:
    """Find what yes or no means: what a label says of it, else true or false."""
    meant = _YES_OR_NO.get(word.lower())
    if control.widget != "switch" or meant is None:
        return None
    said = {option.value: _YES_OR_NO.get(_first_word(option.label), option.value) for option in control.options}
    return _only([value for value, means in said.items() if means == meant])


def _first_word(label: str) -> str:
    return "".join(letter if letter.isalnum() else " " for letter in label.lower()).partition(" ")[0]


def _valued(word: str, control: Control) -> str | None:
    exactly = [option.value for option in control.options if option.value == word]
    return _only(exactly or [option.value for option in control.options if option.value.lower() == word.lower()])


_YES_OR_NO = {"y": "true", "yes": "true", "n": "false", "no": "false"}


def _only(found: Sequence[str]) -> str | None:
    return found[0] if len(found) == 1 else None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
