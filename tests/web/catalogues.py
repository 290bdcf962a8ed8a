"""Catalogues that a host could bring, compiled for a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo

from scripts.translations import collected

HEBREW = {
    "Questions": "שאלות",
    "Figures": "נתונים",
    "Everything": "הכול",
    "Mine": "שלי",
    "Up for grabs": "פנויות",
    "Search": "חיפוש",
    "Show": "הצגה",
    "Open": "פתוחה",
    "Answered": "נענתה",
    "Your answer": "התשובה שלך",
    "Send the answer": "שליחת התשובה",
    "Who": "מי",
    "For": "עבור",
    "With": "אצל",
    "Take it": "לקיחה",
    "What happened": "מה קרה",
    "What it is about": "במה מדובר",
    "asked by %(who)s, %(time)s": "נשאלה על ידי %(who)s, %(time)s",
    "asked by %(who)s": "נשאלה על ידי %(who)s",
    "{span} left": "נותרו {span}",
    "%(who)s asked": "%(who)s שאל",
    "Skip to the content": "דילוג לתוכן",
    "Questions a day": "שאלות ביום",
    "Asked": "נשאלו",
    "Expired": "פג תוקפן",
}


def compiled(folder: Path, language: str, texts: Mapping[str, str]) -> Path:
    """Write a catalogue of these texts below a folder; return the folder."""
    return _written(folder, language, texts.get)


def pseudo(folder: Path, language: str) -> Path:
    """Write a catalogue that puts every text into ⟦brackets⟧."""
    return _written(folder, language, lambda text: f"⟦{text}⟧")


def _written(folder: Path, language: str, said: Callable[[str], str | None]) -> Path:
    catalogue = Catalog(locale=language)
    for one in collected():
        if not one.id:
            continue
        forms = [str(form) for form in (one.id if isinstance(one.id, tuple) else (one.id,))]
        texts = [text for text in map(said, forms) if text]
        if len(texts) == len(forms):
            catalogue.add(one.id, tuple(texts) if len(texts) > 1 else texts[0])
    place = folder / language / "LC_MESSAGES" / "awaithumans.mo"
    place.parent.mkdir(parents=True)
    with place.open("wb") as file:
        write_mo(file, catalogue)
    return folder
