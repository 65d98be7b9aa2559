"""The hub is killed, or the power cut, while plates give way to pseudonyms (S10): a day has all of its plates or none,
and once the next hub has brought it to its end, no byte of a plate that went is left in the store's files.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from scripts.fault_matrix.damage_rows import require_sound
from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.records import PurgedNumbers, event_files, has_pseudonym, picture_path, stored_events
from scripts.fault_matrix.rig import Rig
from scripts.fault_matrix.rolling_rows import DAY_SECONDS
from scripts.fault_matrix.storage_rows import FAST, STARTED_SECONDS

WITHIN_SECONDS = (0.12, 0.25, 0.5, 1.0)
"""A new day is begun and the one before written anew within the first two, then files and pictures are deleted."""
SETTLED_SECONDS = 30.0
"""For what a cut has left to be finished."""
LEAST_IN_THE_MIDST = 5
"""One cut in so many, at least, leaves a day half written anew."""
ASKED_FOR = 40
"""Plates that are looked for in the forms that are no text."""
_PLATES = re.compile(rb"30B-?[0-9]{3}\.?[0-9]{2}")
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def end_while_rewriting(rig: Rig, end: Callable[[], None]) -> None:
    """Each life sees a new day begin and the one before written anew, and its end somewhere in it."""
    chance = random.Random(rig.times)
    life = {"rate": FAST, "pseudonyms": True}
    midst, longest = Counter[str](), 0.0
    rig.start(**life)
    for day in range(1, rig.times + 1):
        rig.set_clock(day * DAY_SECONDS)
        time.sleep(chance.uniform(0.0, chance.choice(WITHIN_SECONDS)))
        end()
        rig.outcome.times += 1
        midst.update({name[: name.index("-")] for name in _unfinished(rig.store)})
        rig.require_kept()
        require_all_or_none(rig)
        if rig.outcome.problems:
            return
        rig.recovered_in(rig.start(**life))
        settled = rig.until(lambda: _is_settled(rig.store), SETTLED_SECONDS)
        rig.require_within(settled, SETTLED_SECONDS, "what was cut off brought to its end")
        longest = max(longest, settled or 0.0)
        require_plates_gone(rig)
        if rig.outcome.problems:
            return
    rig.require_within(rig.outcome.recovered_s, STARTED_SECONDS, "a hub to tell something after its start")
    rig.outcome.notes |= {"left_by_cuts": dict(midst), "ended_in_s": round(longest, 1)}
    in_the_midst = midst.total()
    rig.require(in_the_midst >= rig.times // LEAST_IN_THE_MIDST, "many cuts in the midst of it", in_the_midst)
    rig.close_books()
    require_all_or_none(rig)
    require_pictures_gone(rig)
    require_no_form_left(rig, chance)
    require_sound(rig, "--pictures")
    unfinished = rig.log_lines("purge_unfinished", since=0.0)
    rig.require(not unfinished, "all that was decided done", unfinished[:1])


def cut_power(rig: Rig) -> None:
    """Nothing more reaches the device from one moment to the next."""
    end_while_rewriting(rig, rig.cut_power)


def _unfinished(store: Path) -> list[str]:
    """What lies among the days and is none."""
    return sorted(path.name for path in (store / "days").glob(".*"))


def _days(store: Path) -> list[tuple[int, str]]:
    """The first number of each day and its version, by its folder: `<day>.<first number>[.<version>]`."""
    names = [path.parent.name.split(".") for path in event_files(store)]
    return sorted({int(first): "".join(version) for _, first, *version in names}.items())


def _is_settled(store: Path) -> bool:
    """Whether all days but the newest are written anew, and nothing else is left of it."""
    return not _unfinished(store) and all(version for _, version in _days(store)[:-1])


def _named_by_hits(rows: Iterable[list[Any]]) -> set[str]:
    """Ids of the sightings that stay as they are."""
    hits = [row[4] for row in rows if row[0] == "hit"]
    return {hit["sighting_id"] for hit in hits}.union(*(hit.get("sighting_ids", ()) for hit in hits))


def require_all_or_none(rig: Rig) -> None:
    """Each passage of a day has its plate, as it was seen, if the day was not written anew or a hit names it; and a
    pseudonym if not. One plate has one pseudonym, and no two share one."""
    rows, seen = stored_events(rig.store), {entry["id"].split(".")[1]: entry["text"] for entry in rig.book("taken")}
    named, days = _named_by_hits(rows.values()), _days(rig.store)
    firsts = [first for first, _ in days]
    pseudonyms, plates = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    wrong = []
    for seq, row in rows.items():
        if row[0] != "sighting":
            continue
        record, version = row[4], max((day for day in days if day[0] <= seq), default=(0, ""))[1]
        text = seen[record["id"]]
        hidden = bool(version) and record["id"] not in named
        if hidden:
            pseudonyms[text].add(record["text"])
            plates[record["text"]].add(text)
        if hidden != has_pseudonym(row) or not (hidden or record["text"] == text):
            wrong.append(seq)
    several = [each for each in (*pseudonyms.values(), *plates.values()) if len(each) > 1]
    numbers = PurgedNumbers(rig.store).without_plate
    silent = [first for first, version in days if version and first not in numbers]
    rig.outcome.lost += len(wrong)
    rig.outcome.notes |= {"days": len(firsts), "rewritten": sum(bool(version) for _, version in days)}
    rig.require(not wrong, "all plates of a day or none", f"{len(wrong)} passages, {wrong[:5]}")
    rig.require(not several, "one pseudonym for one plate", several[:2])
    rig.require(not silent, "a signed entry for each day without plates", silent[:5])


def require_plates_gone(rig: Rig) -> None:
    """No plate is in any file of the store but those that can be read in it; asked also while a hub lives."""
    before, found, after = _readable(rig.store), _plates_in_files(rig.store), _readable(rig.store)
    left, unseen = sorted(found - after), sorted(before & after - found)
    rig.outcome.notes["plates_gone"] = len({entry["text"] for entry in rig.book("taken")} - after)
    rig.require(not left, "no byte of a plate that went", f"{len(left)} plates, {left[:3]}")
    rig.require(not unseen, "every plate that stays to be found by its bytes", unseen[:3])


def _readable(store: Path) -> set[str]:
    """The plates of one day only that rows still tell."""
    return {
        row[4]["text"] for row in stored_events(store).values() if row[0] == "sighting" and row[4]["text"][:3] == "30B"
    }


def _plates_in_files(store: Path) -> set[str]:
    """The plates of one day only whose text is in any file, also as it is written on a plate, also backwards."""
    found = set[str]()
    for content in _contents(store):
        pieces = _PLATES.findall(content)
        found |= {piece.replace(b"-", b"").replace(b".", b"").decode() for piece in pieces}
        found |= {piece[::-1].decode() for piece in re.findall(rb"[0-9]{5}B03", content)}
    return found


def _contents(store: Path) -> Iterable[bytes]:
    for path in store.rglob("*"):
        try:
            if path.is_file():
                yield path.read_bytes()
        except FileNotFoundError:
            continue  # it was deleted just now


def require_pictures_gone(rig: Rig) -> None:
    """Pictures that only passages without a plate had are deleted, and their hashes are nowhere."""
    rows = stored_events(rig.store)
    stays, goes = set[str](), set[str]()
    for entry in rig.told():
        if (row := rows.get(entry["seq"])) is not None:
            (goes if has_pseudonym(row) else stays).update(entry["pictures"])
    goes -= stays
    left = [picture for picture in goes if picture_path(rig.store, picture).exists()]
    files = b"".join(path.read_bytes() for path in rig.store.rglob("data.mdb"))
    told = [picture for picture in goes if picture.encode() in files]
    rig.outcome.notes["pictures_gone"] = len(goes)
    rig.require(goes, "pictures to go with the plates")
    rig.require(not left, "no picture of a plate that went", f"{len(left)}, {left[:3]}")
    rig.require(not told, "no hash of a picture that went", f"{len(told)}, {told[:3]}")


def require_no_form_left(rig: Rig, chance: random.Random) -> None:
    """As `require_plates_gone`, of some plates and in the forms that are no text: a number, and a lattice."""
    stay = _readable(rig.store)
    went = sorted({entry["text"] for entry in rig.book("taken")} - stay - {""})
    went = [text for text in went if text.startswith("30B")]
    files = b"".join(path.read_bytes() for path in rig.store.rglob("*") if path.is_file() and path.suffix != ".jpg")

    def found(texts: list[str], form: Callable[[str], bytes]) -> list[str]:
        return [text for text in chance.sample(texts, min(ASKED_FOR, len(texts))) if form(text) in files]

    for name, form in (("number", _packed), ("lattice", _lattice)):
        left, seen = found(went, form), found(sorted(stay), form)
        rig.require(not left, f"no plate that went, as a {name}", left[:3])
        rig.require(seen, f"the plates that stay to be found, as a {name}", f"none of {len(stay)}")


def _packed(text: str) -> bytes:
    """As an index has it: base 37, 0 for no character, eight bytes."""
    number = 0
    for character in text:
        number = number * 37 + 1 + _ALPHABET.index(character)
    return number.to_bytes(8, "big")


def _lattice(text: str) -> bytes:
    """As a row has it, in MessagePack: for each place the characters that it may be, and how sure they are."""
    return msgspec.msgpack.encode([[[character, 0.98]] for character in text])


_MUST = (
    "each day has all of its plates or none; a hub tells within 5 s of its start, and ends what was cut off: then no"
    " byte of a plate or of its picture's hash is in any file; what a hit names, other days and their pictures stay as"
    " they are; every number told is there; `anpr store check` finds nothing"
)

ROWS = (
    Fault(
        name="hub-killed-pseudonyms", code="S10", run_rig=lambda rig: end_while_rewriting(rig, rig.kill),
        times=25,
        does="a hub alone is killed with -9 while pseudonyms take the place of a day's plates", must=_MUST,
    ),
    Fault(
        name="power-cut-pseudonyms", code="S10", run_rig=cut_power, quick=True, needs=("volume",), volume_mib=384,
        times=40, quick_times=2,
        does="the power of the store's disk is cut meanwhile", must=_MUST,
    ),
)  # fmt: skip
