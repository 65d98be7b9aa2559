"""What a register's values mean, as clerks in Viet Nam and programs write them: numbers, dates, and the engine's words.

Which of them a field holds follows from what rules ask of it, for a register does not say. Only what cannot be meant
otherwise is read: `01/02/2026` is 1 February, `12,5` is twelve and a half, but `12.500` may be both that and 12,500.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from anpr.config.times import parse_moment
from anpr.rules.language import Lookup, Value
from anpr.rules.wording import CLASSES, COLOURS, KINDS, Said, same

_MOST_SHOWN = 40
_KEPT = 10_000
"""Values whose meaning is kept: registers have the same ones again and again."""

Meaning = str | float
"""A word of the engine, a text without capitals, a number, or UTC seconds since 1970."""

_DAY_FIRST = re.compile(r"([0-9]{1,2})([/.-])([0-9]{1,2})\2([0-9]{4})(?:[ T]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?))?")
_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_PLAIN = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?")
_EITHER = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}")
"""Thousands, or three digits after the point."""
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:(?:\.[0-9]{3}){2,}|(?:\.[0-9]{3})+,[0-9]+)")


@dataclass(frozen=True, slots=True)
class Form:
    """What the values of a field are."""

    name: str
    """With its article."""
    read: Callable[[Value], Meaning | None]
    """What a value means; None if it is none of these."""
    cure: str
    words: bool = False
    """Whether they are words, of which a register may have others as well."""


def plain(value: Value) -> str:
    """A value as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.15g}" if isinstance(value, int | float) else value.strip()


def as_text(value: Value) -> str:
    """Without what two spellings of the same may differ in."""
    return " ".join(unicodedata.normalize("NFC", plain(value)).casefold().split())


def _number(value: Value) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    written = value.strip()
    if _THOUSANDS.fullmatch(written):
        return float(written.replace(".", "").replace(",", "."))
    if not _PLAIN.fullmatch(written) or _EITHER.fullmatch(written):
        return None
    return float(written.replace(",", "."))


def iso(written: str) -> str:
    """`31/03/2026 18:00` as `parse_moment` reads it, `2026-03-31T18:00`; what is no such date as it is."""
    match = _DAY_FIRST.fullmatch(written)
    if match is None:
        return written
    day, _, month, year, time = match.groups()
    return f"{year}-{month:>02}-{day:>02}" + (f"T{time}" if time else "")


@lru_cache(_KEPT, typed=True)
def _moment(value: Value) -> float | None:
    """A day is over when the next one begins."""
    try:
        return parse_moment(iso(plain(value)), end_of_day=True)
    except ValueError:
        return None


def _bare(text: str) -> str:
    """Vietnamese as it is typed without accents."""
    apart = unicodedata.normalize("NFD", text.replace("đ", "d"))
    return "".join(each for each in apart if not unicodedata.combining(each))


@dataclass(frozen=True, slots=True)
class Words:
    """The engine's own words for something, and how they are written otherwise."""

    said: Mapping[str, Said]
    others: Mapping[str, tuple[str, ...]]
    head: re.Pattern[str]
    """What may stand before a word and adds nothing."""

    def reader(self) -> Callable[[Value], str | None]:
        """What gives the engine's word. Without accents is read what was written without any."""
        head = self.head
        written = [
            (as_text(spelling), word)
            for word, said in self.said.items()
            for spelling in (word, said.vi, said.en, *self.others.get(word, ()))
        ]
        known = {head.sub("", spelling): word for spelling, word in written} | dict(written)
        bare: dict[str, set[str]] = {}
        for spelling, word in known.items():
            bare.setdefault(_bare(spelling), set()).add(word)
        known |= {spelling: next(iter(words)) for spelling, words in bare.items() if len(words) == 1}

        @lru_cache(_KEPT, typed=True)
        def read(value: Value) -> str | None:
            text = as_text(value).replace("_", " ").replace("-", " ")
            return known.get(as_text(value)) or known.get(head.sub("", text))

        return read


_NO_HEAD = re.compile(r"(?!)")
_YES_NO = Words({"yes": Said("có", "yes"), "no": Said("không", "no")}, {"yes": ("true",), "no": ("false",)}, _NO_HEAD)
_VOCABULARIES: Mapping[str, Words] = {
    "yes or no": _YES_NO,
    "colour": Words(
        COLOURS,
        {"blue": ("xanh dương", "xanh lam", "xanh da trời", "xanh nước biển")},
        re.compile(r"^(?:(?:biển|bien) )?(?:(?:nền|nen) )?(?:(?:màu|mau) )?"),
    ),
    "vehicle_class": Words(
        CLASSES,
        {
            "car": ("ô tô con",),
            "van": ("tải van",),
            "bus": ("ô tô khách", "xe buýt"),
            "truck": ("ô tô tải", "đầu kéo", "xe đầu kéo", "ô tô đầu kéo"),
            "trailer": ("rơ moóc", "sơ mi rơ moóc"),
            "motorbike": ("xe máy",),
            "other": ("khác",),
        },
        re.compile(r"^xe "),
    ),
    "kind": Words(KINDS, {"motorbike": ("xe máy",), "motorbike_electric": ("xe máy điện",)}, re.compile(r"^xe ")),
}
"""By the field that the engine itself has of that, if it has one."""


def _words(name: str, words: Words) -> Form:
    written = ", ".join(f"{word} ({said.vi})" for word, said in words.said.items())
    return Form(name, words.reader(), f"one of {written}; leave it empty if it is not known", words=True)


NUMBER = Form("a number", _number, "like 12,5 or 12.5: no unit, and no mark between thousands")
MOMENT = Form("a date", _moment, "day/month/year like 31/03/2026, or 2026-03-31")
TEXT = Form("a text", as_text, "", words=True)
_SWITCH = {"true": "yes", "false": "no"}
"""How TOML and JSON write it."""
_SAY_LITTLE = {"other"}
"""Words that are not enough to tell a vocabulary."""
_NAMES = {
    "yes or no": "yes or no",
    "colour": "a colour of plates",
    "vehicle_class": "a class of vehicles",
    "kind": "a kind of plates",
}
_FORMS = {field: _words(_NAMES[field], words) for field, words in _VOCABULARIES.items()}


def form_of(predicate: Lookup) -> Form:
    """What a rule takes the values of the field that it asks for to be.

    What it compares them with says so: numbers, or words of which the engine has a vocabulary, for choice that of the
    field's own name; all else is text.
    """
    if predicate.over is not None or predicate.under is not None:
        return NUMBER
    if predicate.older_than is not None:
        return MOMENT
    if predicate.differs_from is not None:
        return _FORMS[predicate.differs_from]
    wanted = wanted_of(predicate)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in wanted):
        return NUMBER
    if predicate.field in _FORMS and all(_FORMS[predicate.field].read(value) is not None for value in wanted):
        return _FORMS[predicate.field]
    for name, words in _VOCABULARIES.items():
        own = {_SWITCH.get(as_text(value), as_text(value)) for value in wanted} & words.said.keys()
        if len(own) == len(wanted) and own - _SAY_LITTLE:
            return _FORMS[name]
    return TEXT


def wanted_of(predicate: Lookup) -> tuple[Value, ...]:
    """The values that a field is compared with by `is` and `is_not`."""
    return predicate.one_of or predicate.none_of or ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What rules ask of one field of a register."""

    forms: tuple[Form, ...] = ()
    literals: frozenset[str] = frozenset()
    """Values that rules name themselves."""

    def wrong(self, value: Value) -> Form | None:
        """What a value should be and is not, so that a rule could not be asked; None if it is good.

        Where one rule takes a field for words and another for text, it may be any text.
        """
        if as_text(value) in self.literals:
            return None
        words = [form for form in self.forms if form.words]
        missed = [form for form in self.forms if not form.words and form.read(value) is None]
        if words and all(form.read(value) is None for form in words):
            missed.append(words[0])
        return missed[0] if missed else None

    def problem(self, value: Value) -> str:
        """What is wrong with a value, and the cure; empty if nothing is."""
        form = self.wrong(value)
        return "" if form is None else f"{plain(value)[:_MOST_SHOWN]!r} is not {form.name} ({form.cure})"

    def and_by(self, predicate: Lookup) -> Asked:
        """The same, and what one more predicate asks."""
        forms = tuple(dict.fromkeys((*self.forms, form_of(predicate))))
        return Asked(forms, self.literals | {as_text(value) for value in wanted_of(predicate)})


def said_of(value: Value, attribute: str, form: Form | None) -> Said:
    """A register's value for a message: our words, numbers and days in both languages, all else as it is.

    `form`: what a rule takes it for; None: that is as unknown as `attribute` is to the engine.
    """
    if isinstance(value, bool):
        return _YES_NO.said["yes" if value else "no"]
    if isinstance(value, int | float):
        return Said(plain(value).replace(".", ","), plain(value))
    for name, known in _FORMS.items():
        word = known.read(value) if known is form or (form is None and name == attribute) else None
        if isinstance(word, str):
            return _VOCABULARIES[name].said[word]
    read = _number(value) if form is NUMBER else None
    if read is not None:
        return Said(plain(read).replace(".", ","), plain(read))
    written = iso(value.strip())
    day = _DAY.fullmatch(written)
    return Said(f"{day[3]}/{day[2]}/{day[1]}", written) if day else same(value.strip())
