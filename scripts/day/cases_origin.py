"""Planted cases of the rules about where a vehicle comes from and how long it stays: 2 to 7 and 15."""

from __future__ import annotations

from datetime import datetime

from anpr.plates.provinces import VIETNAM_TIME
from scripts.day.planting import Expected, Planting, moment, stop, trip
from scripts.day.road import CLOSED, MIDDLE, QL1B, SOUTH, VIET_YEN, Passing
from scripts.day.traffic import at
from scripts.day.vehicles import Vehicle

INBOUND = Expected("epidemic-inbound", 0, "CHECK")
"""What every zone-registered vehicle raises at the first camera of its way in, unless something silences it."""


def _declare_trip(world: Planting, vehicle: Vehicle, kind: str = "khaibao", **fields: str) -> None:
    """A declaration made at midnight that is valid all day."""
    valid = {"valid_from": moment(at(0.0)), "valid_until": moment(at(30.0))}
    world.declare(vehicle, kind, at(0.0), **(valid | fields))


def plant_epidemic_inbound(world: Planting) -> None:
    """Rule 2, and the missing declaration of rule 3."""
    for hour in (2.3, 9.6, 15.2, 19.4):
        passings = trip(world.vehicles.car("98"), hour, preview=hour < 3)
        missing = Expected("declaration-missing", 0, "CHECK")
        world.case(2, "registered in Bắc Giang, inbound", passings, [INBOUND, missing])
    mute = ("epidemic-inbound", "declaration-missing")
    world.case(2, "registered in Bắc Giang, outbound", trip(world.vehicles.car("98"), 11.0, inbound=False), silent=mute)
    world.case(2, "99: the same province today, another zone", trip(world.vehicles.car("99"), 10.1), silent=mute)
    world.case(2, "80 belongs to no province", trip(world.vehicles.car("80", colour="blue"), 10.3), silent=mute)
    world.case(2, "the army", trip(world.vehicles.military(), 10.5), silent=mute)
    world.case(2, "97 is of this province since the merger", trip(world.vehicles.car("97"), 10.7), silent=mute)
    eve = datetime(2025, 6, 30, 23, 50, tzinfo=VIETNAM_TIME).timestamp()
    for code, seconds, fires in (("97", eve, True), ("97", eve + 1200.0, False)):
        passing = Passing(world.vehicles.car(code), SOUTH, True, seconds, clear=True)
        expected = [INBOUND, Expected("declaration-missing", 0, "CHECK")] if fires else []
        name = "97 on the last evening of the old map" if fires else "97 on the first morning of the new map"
        world.case(2, name, [passing], expected, silent=mute)


def plant_declarations(world: Planting) -> None:
    """Rule 3."""
    for hour in (3.1, 8.8, 17.7):
        vehicle = world.vehicles.car("20")
        _declare_trip(world, vehicle, origin="Thái Nguyên", route="Thái Nguyên")
        world.case(
            3, "declared Thái Nguyên only, seen at Ninh Hiệp", trip(vehicle, hour),
            [Expected("declaration-contradiction", 1, "ALERT")],
        )  # fmt: skip
    vehicle = world.vehicles.car("98")
    _declare_trip(world, vehicle, origin="Hà Nội", route="Hà Nội;Thái Nguyên")
    world.case(
        3, "declared Hà Nội, seen in the zone three hours earlier: rule 2 becomes an ALERT",
        [stop(vehicle, VIET_YEN, 6.0), *trip(vehicle, 9.0)],
        [Expected(rule, 1, "ALERT") for rule in ("declaration-contradiction", "stay-in-zone", "epidemic-inbound")],
    )  # fmt: skip
    vehicle = world.vehicles.car("20")
    _declare_trip(world, vehicle, origin="Thái Nguyên", route="Hà Nội;Thái Nguyên")
    world.case(3, "Hà Nội on the declared route", trip(vehicle, 9.2), silent=("declaration-contradiction",))
    vehicle = world.vehicles.car("98")
    valid = {"valid_from": moment(at(0.0)), "valid_until": moment(at(30.0))}
    world.declare(vehicle, "khaibao", at(13.0), origin="Bắc Giang", route="Hà Nội;Thái Nguyên", **valid)
    world.case(
        3, "declared an hour after entry", trip(vehicle, 12.0), [INBOUND],
        silent=("declaration-missing", "declaration-contradiction"),
    )  # fmt: skip


def plant_stays(world: Planting) -> None:
    """Rule 4."""
    for days, hour in ((9.0, 7.4), (3.0, 13.3), (0.3, 18.9)):
        vehicle = world.vehicles.car("20")
        world.case(
            4,
            "a local plate that was in Việt Yên",
            [stop(vehicle, VIET_YEN, hour, days_ago=days), *trip(vehicle, hour)],
            [Expected("stay-in-zone", 1, "ALERT")],
        )  # fmt: skip
    early = world.vehicles.car("20")
    world.case(
        4, "in Việt Yên before it became a zone", [stop(early, VIET_YEN, 8.0, days_ago=11.0), *trip(early, 8.0)],
        silent=("stay-in-zone",),
    )  # fmt: skip
    twin = world.vehicles.car("20")
    other = Vehicle(twin.text[:-1] + str((int(twin.text[-1]) + 5) % 10), "white")
    world.case(
        4, "a neighbour of the plate was there", [stop(other, VIET_YEN, 8.0, days_ago=4.0), *trip(twin, 8.3)],
        silent=("stay-in-zone",),
    )  # fmt: skip


def plant_green_lane(world: Planting) -> None:
    """Rule 5."""
    route = {"origin": "Bắc Giang", "route": "Hà Nội;Thái Nguyên"}
    mute = ("epidemic-inbound", "declaration-missing", "declaration-contradiction", "green-lane-expired")
    for hour in (4.2, 14.4):
        vehicle = world.vehicles.car("98", colour="yellow", body="truck")
        _declare_trip(world, vehicle, "luongxanh", test=moment(at(hour - 24.0)), **route)
        world.case(5, "a valid pass: no stop", trip(vehicle, hour), silent=mute)
    for hour in (5.2, 16.4):
        vehicle = world.vehicles.car("98", colour="yellow", body="truck")
        until = {"valid_until": moment(at(0.0))}
        _declare_trip(world, vehicle, "luongxanh", valid_from=moment(at(0.0, days_ago=5.0)), **until, **route)
        expected = [Expected("green-lane-expired", 0, "CHECK"), INBOUND]
        expected.append(Expected("declaration-missing", 0, "CHECK"))
        world.case(5, "the pass ended at midnight", trip(vehicle, hour), expected)
    vehicle = world.vehicles.car("98", colour="yellow", body="truck")
    _declare_trip(world, vehicle, "luongxanh", test=moment(at(10.0, days_ago=3.2)), **route)
    expected = [Expected("green-lane-expired", 0, "CHECK"), INBOUND]
    world.case(5, "a test of more than 72 hours", trip(vehicle, 11.1), expected, silent=("declaration-missing",))


def plant_persons(world: Planting) -> None:
    """Rule 6: class by the register, by the second camera, and one driver only."""
    route = {"origin": "Hải Dương", "route": "Hà Nội;Thái Nguyên"}
    for name, persons, registered, where in (
        ("two declared, a truck by the register", "2", True, 0),
        ("two declared, a truck by the second camera", "2", False, 1),
        ("three declared, a truck by the second camera", "3", False, 1),
        ("one driver", "1", True, None),
    ):
        vehicle = world.vehicles.car("34", colour="yellow", body="truck")
        _declare_trip(world, vehicle, persons=persons, **route)
        if registered:
            world.register(vehicle)
        expected = [INBOUND]
        if where is not None:
            expected.append(Expected("persons-limit", where, "CHECK"))
        world.case(6, name, trip(vehicle, float(world.rng.uniform(1, 20))), expected, silent=("persons-limit",))


def plant_transit(world: Planting) -> None:
    """Rule 7."""
    for hour in (1.5, 12.4):
        vehicle = world.vehicles.car("98", colour="yellow", body="truck")
        _declare_trip(world, vehicle, "quacanh", origin="Bắc Giang", route="Hà Nội;Lạng Sơn;Thái Nguyên")
        way = [stop(vehicle, QL1B, hour), *_out(vehicle, hour + 0.4)]
        world.case(7, "across in less than an hour", way, [INBOUND, Expected("transit", 2, "INFO")])
    mute = ("transit", "transit-not-left")
    for hour in (6.5, 14.0):
        vehicle = world.vehicles.car("12", colour="yellow", body="truck")
        _declare_trip(world, vehicle, "quacanh", origin="Lạng Sơn", route="Hà Nội;Thái Nguyên")
        world.case(
            7, "not seen leaving", [stop(vehicle, QL1B, hour)], [Expected("transit-not-left", 0, "CHECK")], silent=mute
        )
    vehicle = world.vehicles.car("12", colour="yellow", body="truck")
    _declare_trip(world, vehicle, "quacanh", origin="Lạng Sơn", route="Hà Nội;Thái Nguyên")
    world.case(7, "left after three hours", [stop(vehicle, QL1B, 8.0), *_out(vehicle, 10.6)], silent=mute)
    world.case(7, "no transit, may stay", [stop(world.vehicles.car("12"), QL1B, 8.2)], silent=mute)


def _out(vehicle: Vehicle, hour: float) -> list[Passing]:
    return trip(vehicle, hour, inbound=False, sites=(SOUTH, MIDDLE))


def plant_visits(world: Planting) -> None:
    """Rule 15."""
    for supplied in (False, False, True):
        vehicle = world.vehicles.car("30")
        if supplied:
            world.list_plate("supply", vehicle)
        passings = [stop(vehicle, SOUTH, 6.0 + 1.2 * turn, inbound=turn % 2 == 0) for turn in range(11)]
        name = "six entries of a supply van" if supplied else "six entries in a day"
        world.case(
            15,
            name,
            passings,
            [] if supplied else [Expected("repeated-visits", 10, "INFO")],
            silent=("repeated-visits",),
        )
    mute = ("zone-dwell", "zone-not-left")
    for start in (1.0, 3.5):
        vehicle = world.vehicles.car("20")
        stay = [stop(vehicle, CLOSED, start), stop(vehicle, CLOSED, start + 15.0, inbound=False)]
        world.case(
            15,
            "15 hours in the closed area",
            stay,
            [Expected("zone-not-left", 0, "INFO"), Expected("zone-dwell", 1, "INFO")],
            silent=mute,
        )
    vehicle = world.vehicles.car("20")
    stay = [stop(vehicle, CLOSED, 9.0), stop(vehicle, CLOSED, 10.0, inbound=False)]
    world.case(15, "an hour in the closed area", stay, silent=mute)


PLANTERS = (
    plant_epidemic_inbound,
    plant_declarations,
    plant_stays,
    plant_green_lane,
    plant_persons,
    plant_transit,
    plant_visits,
)
