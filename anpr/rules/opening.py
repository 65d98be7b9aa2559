"""Opens what a site file says of rules: the rules, the map, the declarations, the registers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from anpr.clock import Clock
from anpr.config.ruling import Rules
from anpr.config.signature import silent_among
from anpr.config.site import Camera, Listed, Site
from anpr.errors import ConfigError, DeclarationError
from anpr.metrics import Counters
from anpr.rules.book import RuleBook
from anpr.rules.content import content_of
from anpr.rules.data import RuleData, declared_data, register_data
from anpr.rules.declarations import Declarations
from anpr.rules.load import RuleSet, load_rules
from anpr.rules.lookups import Lookups
from anpr.rules.places import Place, Places
from anpr.rules.registers import columns_of, http_register
from anpr.rules.silence import Known, silent_rules

KEPT_SECONDS = 90 * 86400.0
"""How long pushed declarations that hold no more are kept."""


JOURNAL = "declarations.jsonl"
"""In the store's folder."""


@dataclass(frozen=True, slots=True)
class OpenRules:
    """The rules of a box with all that they ask. Close it when done."""

    book: RuleBook
    lookups: Lookups
    declarations: Declarations
    reload: Callable[[], RuleBook]
    """The rules as their files have them now, with the same registers and declarations; in any thread. Raises
    ConfigError with all mistakes."""
    data: tuple[RuleData, ...]
    """The files of the registers and the declarations."""
    silent_of: Callable[[RuleBook, Collection[str]], tuple[str, ...]]
    """Those of these rules that can never be true at the site from now on, each line with the causes, where watch-lists
    of these names may match; by what the registers hold."""

    def totals(self) -> Counters:
        """What the rules, the registers and the declarations have counted."""
        total = Counters()
        for counters in (self.book.counters, self.lookups.counters, self.declarations.counters):
            total.merge(counters.counts)
        return total

    def close(self) -> None:
        """Ask no register any more."""
        self.lookups.close()


def load_site_rules(rules: Rules) -> RuleSet:
    """The rules that a site file names, as it changes them. Raises ConfigError with all mistakes."""
    return load_rules([rules.folder], zones=rules.zones, overrides=rules.overrides, dry_run=rules.dry_run)


def open_rules(site: Site, *, clock: Clock) -> OpenRules | None:
    """The rules of a site, ready to be asked; None if it has none.

    A site has declarations if it names a file of them, or an intake: what comes in there is kept in the store's folder.
    Else what rules ask of them is unknown. For a file of a register or of declarations that is refused its last good
    copy in the store's folder stands in. Raises ConfigError or DeclarationError with all mistakes.
    """
    rules = site.rules
    if rules is None:
        return None
    checked = load_site_rules(rules)
    declarations: Declarations | None = None
    if rules.declarations is not None or rules.intake is not None:
        declarations = Declarations()
    lookups = Lookups(clock, asked=checked.asked)
    named = tuple(_data_of(site, rules, lookups, declarations))
    silent = silent_among(each.file for each in named)
    data = tuple(each.open(answers=each.file not in silent) for each in named)
    if declarations is not None and rules.intake is not None:
        forget_before_seconds = clock.wall_seconds() - KEPT_SECONDS
        declarations.open_journal(site.store.path / JOURNAL, forget_before_seconds=forget_before_seconds)
    for register in rules.lookups:
        if register.url is not None:
            seconds = register.timeout_seconds
            lookups.register(
                register.name, http_register(register.url, timeout_seconds=seconds), timeout_seconds=seconds
            )
    places = places_of(site)

    def compiled(checked: RuleSet) -> RuleBook:
        lookups.asked = checked.asked
        return checked.book(places=places, registers=lookups, declarations=declarations)

    def silent_of(book: RuleBook, lists: Collection[str]) -> tuple[str, ...]:
        known = replace(known_of(site, now_seconds=clock.wall_seconds(), held=lookups.columns), lists=lists)
        return silent_rules({each.rule.name: each.rule for each in book.rules}, known, book.zones)

    return OpenRules(
        book=compiled(checked),
        lookups=lookups,
        declarations=Declarations() if declarations is None else declarations,
        reload=lambda: compiled(load_site_rules(rules)),
        data=data,
        silent_of=silent_of,
    )


def _data_of(site: Site, rules: Rules, lookups: Lookups, declarations: Declarations | None) -> Iterator[RuleData]:
    """The files that rules ask, for `lookups` and `declarations` to hold what they say."""
    if declarations is not None and rules.declarations is not None:
        yield declared_data(rules.declarations, declarations, store=site.store.path)
    for register in rules.lookups:
        if register.file is not None:
            yield register_data(register.name, register.file, lookups, store=site.store.path)


@dataclass(frozen=True, slots=True)
class Flaws:
    """What is wrong with the rules of a site, its declarations and its registers."""

    problems: tuple[str, ...] = ()
    """For which something is refused."""
    left_out: tuple[str, ...] = ()
    """Of the bad rows that are left out of what is taken."""
    silent: tuple[str, ...] = ()
    """No mistakes: rules that can never be true at the site, each line with the causes."""


def flaws_of(site: Site, *, clock: Clock) -> Flaws:
    """Look at the rules of a site, its declarations and its registers; nothing is changed."""
    rules = site.rules
    if rules is None:
        return Flaws()
    problems: list[str] = []
    left_out: list[str] = []
    lookups = Lookups(clock)
    silent: tuple[str, ...] = ()
    try:
        checked = load_site_rules(rules)
        lookups.asked = checked.asked
        silent = silent_rules(checked.rules, known_of(site, now_seconds=clock.wall_seconds()), checked.zones)
    except ConfigError as error:
        problems += error.problems
    for data in _data_of(site, rules, lookups, Declarations()):
        try:
            left_out += data.read().left_out.problems
        except (ConfigError, DeclarationError) as error:
            problems += error.problems
    return Flaws(tuple(problems), tuple(left_out), silent)


def places_of(site: Site) -> Places:
    """The map of a site."""
    distances = site.rules.distances if site.rules else ()
    return Places.of(
        (_place(camera, site.site.id) for camera in site.cameras), ((way.one, way.other, way.km) for way in distances)
    )


def known_of(site: Site, *, now_seconds: float, held: Mapping[str, Collection[str]] | None = None) -> Known:
    """What a site can tell its rules from now on; the engine itself measures neither lane nor speed nor class.

    `held`: the columns of the registers' files as a box has taken them; None: as they are now.
    """
    rules = site.rules
    return Known(
        places_of(site),
        registers={
            each.name: _columns(each.file) if held is None else held.get(each.name)
            for each in (rules.lookups if rules else ())
        },
        declarations=rules is not None and (rules.declarations is not None or rules.intake is not None),
        lists=[each.name for each in site.lists if _may_match(each, site.site.id, now_seconds)],
        now_seconds=now_seconds,
    )


def _columns(file: Path | None) -> Sequence[str] | None:
    """The fields of a register; None if they are not known before it is asked, or it cannot be read."""
    if file is None:
        return None
    try:
        return columns_of(content_of(file), file)
    except (OSError, ConfigError):
        return None


def _may_match(listed: Listed, site_id: str, now_seconds: float) -> bool:
    """Whether what the site file says of a list lets it match anything at a site from now on."""
    here = not listed.sites or site_id in listed.sites
    return here and (listed.valid_until is None or listed.valid_until > now_seconds)


def _place(camera: Camera, site_id: str) -> Place:
    place = camera.place
    return Place(
        camera_id=camera.id,
        site_id=site_id,
        road=place.road,
        km=place.km,
        province=place.province or "",
        inbound=place.inbound or "unknown",
        rising=place.rising or "unknown",
        only="unknown" if camera.direction == "both" else camera.direction,
    )
