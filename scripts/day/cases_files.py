"""Planted cases of the rules that ask lists and the register: 1, 11, 12, 13 and 16."""

from __future__ import annotations

from scripts.day.planting import Expected, Planting, stop, trip
from scripts.day.road import SOUTH
from scripts.day.vehicles import Body, Vehicle

STOLEN = ("stolen", "stolen-near")
OTHER_STOLEN = 2000
"""Listed plates that do not drive that day."""


def plant_stolen(world: Planting) -> None:
    """Rule 1: listed letter for letter, by a wildcard, one digit off, no longer."""
    for code, hour, inbound in (("29", 4.2, True), ("30", 8.1, True), ("80", 14.7, False), ("15", 20.3, True)):
        vehicle = world.vehicles.car(code, colour="blue" if code == "80" else "white")
        world.list_plate("stolen", vehicle)
        passings = trip(vehicle, hour, inbound=inbound, preview=True)
        world.case(
            1, "listed as it is", passings, [Expected("stolen", index, "ALERT") for index in range(3)], silent=STOLEN
        )
    for hour in (5.5, 18.2):
        vehicle = world.vehicles.car("29")
        world.list_plate("stolen", vehicle.display[:-1] + "?")
        expected = [Expected("stolen-near", index, "CHECK") for index in (0, 2)]
        world.case(1, "listed with a wildcard", trip(vehicle, hour), expected, silent=STOLEN)
    vehicle = world.vehicles.car("29")
    world.list_plate("stolen", vehicle.display[:-1] + str((int(vehicle.text[-1]) + 5) % 10))
    world.case(1, "one digit off", trip(vehicle, 9.4), silent=("stolen",))
    vehicle = world.vehicles.car("29")
    world.list_plate("stolen", vehicle, valid_until="2026-10-12")
    world.case(1, "found again two days ago", trip(vehicle, 10.2), silent=STOLEN)
    for _ in range(OTHER_STOLEN):
        world.list_plate("stolen", world.vehicles.background())


def plant_fines(world: Planting) -> None:
    """Rule 11."""
    for hour in (3.3, 9.9, 19.0):
        vehicle = world.vehicles.car("29")
        world.register(vehicle, fine_notice="2026-09-01")
        world.case(
            11, "open for 43 days", trip(vehicle, hour), [Expected("unpaid-fine", 0, "INFO")], silent=("unpaid-fine",)
        )
    vehicle = world.vehicles.car("29")
    world.register(vehicle, fine_notice="2026-10-01")
    world.case(11, "open for 13 days", trip(vehicle, 9.9), silent=("unpaid-fine",))


def plant_inspections(world: Planting) -> None:
    """Rule 12."""
    rule = ("inspection-expired",)
    bodies: tuple[tuple[float, Body], ...] = ((5.0, "truck"), (12.0, "bus"), (17.0, "truck"))
    for hour, body in bodies:
        vehicle = world.vehicles.car("20", colour="yellow", body=body)
        world.register(vehicle, inspection_until="2026-10-02")
        world.case(
            12, "expired for 12 days", trip(vehicle, hour), [Expected("inspection-expired", 0, "CHECK")], silent=rule
        )
    vehicle = world.vehicles.car("20", colour="yellow", body="truck")
    world.register(vehicle, badge_until="2026-10-10")
    world.case(12, "badge expired", trip(vehicle, 7.0), [Expected("inspection-expired", 0, "CHECK")], silent=rule)
    vehicle = world.vehicles.car("20", colour="yellow", body="truck")
    world.register(vehicle, inspection_until="2026-10-14")
    world.case(12, "the last valid day", trip(vehicle, 21.0), silent=rule)
    vehicle = world.vehicles.car("20")
    world.register(vehicle, inspection_until="2026-10-02")
    world.case(12, "a private car", trip(vehicle, 7.2), silent=rule)


def plant_colours(world: Planting) -> None:
    """Rule 13."""
    rule = ("colour-mismatch", "yellow-without-transport")
    mismatch = [Expected("colour-mismatch", 1, "CHECK")]
    for name, vehicle in (
        ("series N on blue", Vehicle("20N00123", "blue")),
        ("series S on blue", Vehicle("29S44321", "blue")),
        ("80 on yellow", Vehicle("80A31245", "yellow")),
    ):
        world.case(13, name, trip(vehicle, float(world.rng.uniform(7, 16))), mismatch, silent=rule)
    vehicle = world.vehicles.car("30", colour="yellow")
    world.register(vehicle, transport="no")
    world.case(
        13, "yellow, no transport", trip(vehicle, 11.7), [Expected("yellow-without-transport", 1, "CHECK")], silent=rule
    )
    for name, vehicle in (
        ("series A on blue", world.vehicles.car("20", colour="blue")),
        ("80 on blue", world.vehicles.car("80", colour="blue")),
        ("the army's red", world.vehicles.military()),
    ):
        world.case(13, name, trip(vehicle, float(world.rng.uniform(7, 16))), silent=rule)


def plant_list_quality(world: Planting) -> None:
    """Rule 16."""
    incomplete = Expected("list-entry-incomplete", 0, "CHECK")
    vehicle = world.vehicles.car("29")
    world.list_plate("stolen", vehicle, valid_until="")
    alerts = [Expected("stolen", index, "ALERT") for index in range(3)]
    world.case(16, "no expiry, and stolen all the same", trip(vehicle, 10.0), [incomplete, *alerts], silent=STOLEN)
    vehicle = world.vehicles.car("29")
    world.list_plate("notes", vehicle, authority="", valid_until="")
    world.case(16, "no authority, no expiry", trip(vehicle, 10.0), [incomplete], silent=STOLEN)
    for hour in (6.6, 15.5):
        vehicle = world.vehicles.military()
        world.list_plate("stolen", vehicle)
        world.case(
            16, "the army on a list", trip(vehicle, hour), [Expected("list-immune-plate", 0, "CHECK")], silent=STOLEN
        )
    crowd = [world.vehicles.car("29") for _ in range(24)]
    for vehicle in crowd:
        world.list_plate("broken", vehicle)
    passings = [stop(vehicle, SOUTH, 3.0 + 0.02 * place) for place, vehicle in enumerate(crowd)]
    world.case(
        16, "a list that raises too much", passings, [Expected("list-flood", 21, "CHECK")], silent=("list-flood",)
    )


PLANTERS = (plant_stolen, plant_fines, plant_inspections, plant_colours, plant_list_quality)
