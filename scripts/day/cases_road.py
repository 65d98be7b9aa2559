"""Planted cases of the rules about driving: 8, 9, 10, 14 and 17."""

from __future__ import annotations

from dataclasses import replace

from scripts.day.planting import Expected, Planting, stop, trip
from scripts.day.road import MIDDLE, NORTH, SOUTH, Passing
from scripts.day.vehicles import Vehicle

SPEEDS = ("average-speed", "average-speed-high", "impossible-travel")


def plant_clones(world: Planting) -> None:
    """Rule 8: one plate on two vehicles; and plates that the register knows otherwise."""
    for hour, minutes in ((2.0, 8.0), (9.1, 3.0), (16.6, 15.0)):
        vehicle = world.vehicles.car("30")
        passings = [stop(vehicle, SOUTH, hour), stop(vehicle, NORTH, hour + minutes / 60)]
        world.case(
            8, f"57 km in {minutes:.0f} minutes", passings, [Expected("impossible-travel", 1, "ALERT")], silent=SPEEDS
        )
    vehicle = world.vehicles.car("30")
    passings = trip(vehicle, 12.2, kmh=(176.0,), sites=(SOUTH, MIDDLE))
    world.case(8, "176 km/h is possible", passings, [Expected("average-speed-high", 1, "ALERT")], silent=SPEEDS)
    mute = ("clone-white", "clone-coloured", "clone-goods", "clone-car")
    for hour in (7.8, 15.9):
        vehicle = world.vehicles.car("29")
        world.register(vehicle, colour="yellow", transport="yes")
        world.case(
            8, "white, registered yellow", trip(vehicle, hour), [Expected("clone-white", 2, "ALERT")], silent=mute
        )
    vehicle = world.vehicles.car("29", body="truck")
    world.register(vehicle, vehicle_class="car")
    world.case(
        8, "a truck, registered as a car", trip(vehicle, 13.9), [Expected("clone-goods", 2, "ALERT")], silent=mute
    )
    vehicle = world.vehicles.car("29")
    world.register(vehicle, vehicle_class="truck")
    passing = stop(vehicle, SOUTH, 14.2)
    world.case(8, "where no camera tells the class", [passing], silent=mute)


def plant_speeds(world: Planting) -> None:
    """Rule 9."""
    for hour, kmh in ((0.9, 131.0), (11.3, 141.0), (20.8, 118.0)):
        passings = trip(world.vehicles.car("30"), hour, kmh=(kmh, kmh))
        world.case(
            9,
            f"{kmh:.0f} km/h",
            passings,
            [Expected("average-speed", 1, "INFO"), Expected("average-speed", 2, "INFO")],
            silent=SPEEDS,
        )
    for hour, kmh in ((1.9, 158.0), (22.1, 166.0)):
        passings = trip(world.vehicles.car("30"), hour, kmh=(kmh, 90.0))
        world.case(9, f"{kmh:.0f} km/h", passings, [Expected("average-speed-high", 1, "ALERT")], silent=SPEEDS)
    passings = trip(world.vehicles.car("30"), 10.9, kmh=(109.5, 109.5))
    world.case(9, "109.5 km/h by clocks that differ by 1.7 s", passings, silent=SPEEDS)


def plant_convoys(world: Planting) -> None:
    """Rule 10: three trucks together past three cameras; the last one's last passing completes it."""
    for hour, known, late in (
        (2.6, False, 0.0),
        (13.5, False, 0.0),
        (21.3, False, 0.0),
        (3.6, True, 0.0),
        (23.2, False, 8.0),
    ):
        passings: list[Passing] = []
        for place, code in enumerate(("29", "30", "89")):
            vehicle = world.vehicles.car(code, colour="yellow", body="truck")
            if known:
                world.list_plate("fleets", vehicle)
            way = trip(vehicle, hour, kmh=(78.0, 78.0))
            way = [replace(each, at_seconds=each.at_seconds + 6.0 * place) for each in way]
            if place == 2:
                way[1] = replace(way[1], at_seconds=way[1].at_seconds + late)
            passings += way
        name = "a known fleet" if known else "one gap of 14 seconds" if late else "three trucks"
        fires = not known and not late
        world.case(10, name, passings, [Expected("convoy", 8, "INFO")] if fires else [], silent=("convoy",))


def plant_classes(world: Planting) -> None:
    """Rule 14: motorbikes, and heavy goods vehicles by the clock."""
    mute = ("motorbike-on-expressway", "heavy-goods-curfew")
    for site, hour, text in ((MIDDLE, 6.1, "29B112345"), (SOUTH, 12.7, "20H178901"), (NORTH, 17.3, "97F145678")):
        vehicle = Vehicle(text, "white", "motorbike", kind="motorbike")
        passing = stop(vehicle, site, hour, inbound=False)
        world.case(14, "a motorbike", [passing], [Expected("motorbike-on-expressway", 0, "ALERT")], silent=mute)
    for name, hour, tonnes, permit, fires in (
        ("15 t at 07:30", 7.5, "15", False, True),
        ("18 t at 06:10", 6.17, "18", False, True),
        ("15 t at 09:06", 9.1, "15", False, False),
        ("8 t at 07:30", 7.52, "8", False, False),
        ("15 t with a permit", 7.54, "15", True, False),
    ):
        vehicle = world.vehicles.car("29", colour="yellow", body="truck")
        world.register(vehicle, gross_tonnes=tonnes)
        if permit:
            world.list_plate("permits", vehicle)
        expected = [Expected("heavy-goods-curfew", 0, "INFO")] if fires else []
        world.case(14, name, [stop(vehicle, MIDDLE, hour)], expected, silent=mute)
    vehicle = world.vehicles.car("29", colour="yellow", body="truck")
    world.case(14, "weight not known to the register", [stop(vehicle, MIDDLE, 7.7)], silent=mute)


def plant_covered(world: Planting) -> None:
    """Rule 17."""
    for hour in (1.2, 4.6):
        vehicle = world.vehicles.car("29", body="truck")
        passings = trip(vehicle, hour, kmh=(80.0, 80.0), covered=True)
        world.case(
            17, "a covered plate past three cameras", passings,
            [Expected("unreadable-plate", 1, "CHECK"), Expected("unreadable-plate", 2, "CHECK")],
        )  # fmt: skip
    vehicle = world.vehicles.car("29", body="truck")
    passings = trip(vehicle, 22.7, inbound=False, kmh=(80.0,), sites=(SOUTH, MIDDLE), covered=True)
    world.case(17, "southwards", passings, [Expected("unreadable-plate", 1, "CHECK")])
    white, yellow = world.vehicles.car("29"), world.vehicles.car("29", colour="yellow")
    passings = [stop(white, SOUTH, 3.3, covered=True), stop(yellow, MIDDLE, 3.56, covered=True)]
    world.case(17, "covered plates of two colours", passings, silent=("unreadable-plate",))
    passings = trip(world.vehicles.car("29"), 2.9)
    passings[1] = replace(passings[1], covered=True)
    world.case(17, "unreadable at one camera only", passings, silent=("unreadable-plate",))


PLANTERS = (plant_clones, plant_speeds, plant_convoys, plant_classes, plant_covered)
