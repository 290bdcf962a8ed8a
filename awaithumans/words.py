"""Texts for people: written in English where the facts are, translated where they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from gettext import NullTranslations
from typing import Self, TypeVar, cast

StrT = TypeVar("StrT", bound=str)


class Words(str):
    """An English text that can still be said in another language.

    To everything that does not translate, such as the JSON API or a log, it
    is the text. Made by `words`, `counted` and `joined`; what is cut out of it,
    or put together with other text, is plain English.
    """

    __slots__ = ("arguments", "message", "number", "plural")
    message: str
    plural: str | None
    number: int
    arguments: Mapping[str, object]

    def __new__(
        cls, message: str, arguments: Mapping[str, object] | None = None, plural: str | None = None, number: int = 1
    ) -> Self:
        """Write the text in English."""
        chosen = message if plural is None or number == 1 else plural
        text = super().__new__(cls, chosen % arguments if arguments else chosen)
        text.message, text.plural, text.number, text.arguments = message, plural, number, arguments or {}
        return text

    def filled(self, **arguments: object) -> Words:
        """Give the same text with arguments; it is one or many as `count` says."""
        given = arguments.get("count")
        number = given if isinstance(given, int) else self.number
        return Words(self.message, arguments, self.plural, number)

    def translated(self, translations: NullTranslations) -> str:
        """Say it, and what stands in it, in another language; in English where that has no words for it."""
        if not self.message:  # which catalogues keep notes of their own under
            return ""
        text, english = translations.gettext(self.message), self.message
        if self.plural is not None:
            text = translations.ngettext(self.message, self.plural, self.number)
            english = self.message if self.number == 1 else self.plural
        arguments = {name: translated(one, translations) for name, one in self.arguments.items()}
        return filled(text, english, arguments) if arguments else text


def words(message: str, /, **arguments: object) -> Words:
    """Mark a text for translation; arguments take the places that are written `%(name)s`.

    Without arguments, a per cent sign is only that.
    """
    return Words(message, arguments)


def counted(one: str, many: str, count: int, /, **arguments: object) -> Words:
    """Mark a text whose form depends on a number, which is its argument `count`."""
    return Words(one, {"count": count, **arguments}, many, count)


def joined(separator: str, parts: Iterable[str]) -> Words:
    """Put texts together, each of which is translated by itself."""
    numbered = {str(number): part for number, part in enumerate(parts)}
    return Words(separator.join(f"%({number})s" for number in numbered), numbered)


def placed(place: str, fault: str) -> str:
    """Say where a fault is, and what it is; "" as a place is everything."""
    return words("%(place)s: %(fault)s", place=place, fault=fault) if place else fault


def filled(text: StrT, english: StrT, arguments: Mapping[str, object]) -> StrT:
    """Put arguments into a translation; into the English where the translation has no right places for them."""
    try:
        return cast("StrT", text % arguments)
    except (KeyError, TypeError, ValueError):
        return cast("StrT", english % arguments)


def translated(text: object, translations: NullTranslations) -> object:
    """Say a text in another language if it is marked for that; return anything else as it is."""
    return text.translated(translations) if isinstance(text, Words) else text
