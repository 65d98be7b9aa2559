"""What is painted on vehicles: lamps, grilles, glass, badges, adverts, wheels; every word on them is invented.

Face sheets run across in metres from the middle and up along the shell's arc; side sheets show Y and Z.
"""

from __future__ import annotations

import numpy as np

from scripts.render.bodies import Shell
from scripts.render.sheet import Bgr, Point, Sheet

GLASS: Bgr = (34, 30, 26)
BLACK: Bgr = (24, 24, 25)
CHROME: Bgr = (176, 174, 170)
LAMP: Bgr = (216, 214, 208)
RED_LAMP: Bgr = (34, 24, 168)
AMBER: Bgr = (30, 120, 226)

CAR_PAINTS: tuple[Bgr, ...] = (
    (226, 228, 228), (222, 224, 225), (28, 27, 27), (38, 36, 36), (132, 132, 130), (168, 168, 166),
    (30, 26, 120), (88, 52, 30), (104, 78, 52), (34, 58, 84), (190, 200, 206),
)  # fmt: skip
TRUCK_PAINTS: tuple[Bgr, ...] = (
    (222, 226, 226),
    (150, 84, 24),
    (40, 34, 168),
    (52, 112, 40),
    (36, 150, 220),
    (112, 108, 100),
)
BADGES = ("GLX", "1.5G", "2.0T", "VIVA", "AWD", "HYBRID", "LUX A", "S-LINE", "CROSS", "ECO 4")
TRUCK_NAMES = ("DRAGON", "SONG HONG", "FORTIS", "MAXIMA", "VIET THANG", "TITAN 8", "KINGSTAR")
FIRMS = (
    "VAN TAI HOANG LONG", "BIA SONG CAU", "NOI THAT AN PHU", "XI MANG NUI VOI", "SUA BA DINH", "GACH THANH CONG",
    "CHE TAN CUONG", "THEP PHUONG BAC", "LOGISTICS 247", "KEM TRANG AN",
)  # fmt: skip
SLOGANS = ("AN TOAN LA BAN", "TIET KIEM - BEN BI", "GIAO HANG 24H", "CHAT LUONG VANG", "VI MOI NHA")
PLACES = ("HA NOI - THAI NGUYEN", "MY DINH - DAI TU", "GIA LAM - PHO YEN", "XE HOP DONG", "BAC KAN - HA NOI")


def tone(paint: Bgr, factor: float) -> Bgr:
    """The colour times a factor."""
    return (paint[0] * factor, paint[1] * factor, paint[2] * factor)


def pick(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    """One of the words."""
    return words[int(rng.integers(len(words)))]


def phone(rng: np.random.Generator) -> str:
    """A telephone number as trucks carry it: digits that are no plate."""
    return f"09{rng.integers(10, 99)}.{rng.integers(100, 999)}.{rng.integers(100, 999)}"


def face_sheet(shell: Shell, paint: Bgr) -> Sheet:
    """An unpainted face of the shell's size."""
    return Sheet(shell.width_m, shell.length_m, left=-shell.width_m / 2, paint=paint, gloss=0.45)


def _window(
    sheet: Sheet, low: float, high: float, half_low: float, half_high: float, *, heads: int, rng: np.random.Generator
) -> None:
    """A screen of glass with its dark rim, what is behind it, and a paler top."""
    sheet.polygon([(-half_low, low), (half_low, low), (half_high, high), (-half_high, high)], (14, 14, 14), gloss=0.7)
    rim = 0.035
    inner = [
        (-half_low + rim, low + rim),
        (half_low - rim, low + rim),
        (half_high - rim, high - rim),
        (-half_high + rim, high - rim),
    ]
    sheet.polygon(inner, GLASS, gloss=0.95)
    for index in range(heads):
        x = (index - (heads - 1) / 2) * 0.72 + rng.normal(0, 0.03)
        sheet.ellipse(x, low + (high - low) * 0.42, 0.19, (high - low) * 0.30, (44, 42, 42))
        sheet.ellipse(x, low + (high - low) * 0.70, 0.09, 0.13, (58, 74, 96) if index % 2 == 0 else (40, 38, 38))
    sheet.shade(low + (high - low) * 0.55, high, 1.0, 1.35)


def car_front(shell: Shell, rng: np.random.Generator, paint: Bgr) -> Sheet:
    """Bumper, grille, head lamps, bonnet, windscreen and roof of a car."""
    sheet = face_sheet(shell, paint)
    half = shell.width_m / 2
    bumper, nose, cowl, top = (shell.arc(name) for name in ("bumper", "nose", "cowl", "top"))
    sheet.shade(0, bumper, 0.55, 0.95)
    sheet.rectangle(-half, 0, half, 0.07, BLACK, gloss=0.1)
    sheet.polygon(
        [(-half * 0.62, 0.06), (half * 0.62, 0.06), (half * 0.5, bumper * 0.72), (-half * 0.5, bumper * 0.72)],
        BLACK,
        gloss=0.1,
    )
    for level in np.arange(0.09, bumper * 0.7, 0.045):
        sheet.line([(-half * 0.56, level), (half * 0.56, level)], (52, 52, 52), 0.012)
    sheet.mirrored(
        [(half * 0.70, 0.14), (half * 0.90, 0.17), (half * 0.88, bumper * 0.8), (half * 0.72, bumper * 0.62)],
        (40, 40, 41),
    )
    sheet.ellipse(half * 0.79, bumper * 0.45, 0.05, 0.045, LAMP, gloss=0.7)
    sheet.ellipse(-half * 0.79, bumper * 0.45, 0.05, 0.045, LAMP, gloss=0.7)
    low, high = nose - rng.uniform(0.17, 0.24), nose - 0.02
    wide = half * rng.uniform(0.42, 0.58)
    style = int(rng.integers(3))
    grille = [(-wide * 0.9, low), (wide * 0.9, low), (wide, high), (-wide, high)]
    sheet.polygon(grille, (20, 20, 21), gloss=0.2)
    bars = np.linspace(low + 0.03, high - 0.03, (3, 4, 6)[style])
    for bar in bars:
        sheet.line([(-wide * 0.95, bar), (wide * 0.95, bar)], CHROME if style != 1 else (70, 70, 70), 0.014)
    sheet.line([*grille, grille[0]], CHROME if style != 2 else (60, 60, 60), 0.018)
    centre = (low + high) / 2 + 0.01
    sheet.ellipse(0, centre, 0.075, 0.055, CHROME, gloss=0.8)
    sheet.ellipse(0, centre, 0.055, 0.037, (60, 50, 48))
    sheet.line([(-0.035, centre), (0, centre + 0.03), (0.035, centre)], CHROME, 0.014)
    slim = rng.uniform(0.10, 0.16)
    lamp: list[Point] = [
        (wide + 0.02, nose - slim),
        (half * 0.97, nose - slim * 0.55),
        (half * 0.985, nose + 0.10),
        (half * 0.80, nose + 0.05),
        (wide + 0.04, nose),
    ]
    sheet.mirrored(lamp, (92, 90, 88), gloss=0.8, glow=0.15)
    for sign in (-1, 1):
        sheet.ellipse(sign * (wide + half * 0.22), nose - slim * 0.42, 0.075, slim * 0.36, LAMP, gloss=0.8, glow=1.0)
        sheet.ellipse(sign * half * 0.89, nose - 0.005, 0.05, slim * 0.3, LAMP, gloss=0.8, glow=0.7)
        sheet.line(
            [(sign * (wide + 0.04), nose - slim), (sign * half * 0.95, nose - slim * 0.5)], (238, 236, 232), 0.014
        )
    sheet.shade(nose, nose + 0.25, 0.80, 1.0)
    for sign in (-1, 1):
        sheet.line([(sign * wide * 0.9, nose + 0.04), (sign * half * 0.72, cowl - 0.05)], tone(paint, 0.84), 0.02)
        sheet.line(
            [(sign * (wide * 0.9 - 0.025), nose + 0.04), (sign * (half * 0.72 - 0.025), cowl - 0.05)],
            tone(paint, 1.08),
            0.014,
        )
    sheet.line([(-half, nose + 0.03), (half, nose + 0.03)], tone(paint, 0.4), 0.012)
    sheet.rectangle(-half * 0.86, cowl - 0.05, half * 0.86, cowl + 0.03, BLACK, gloss=0.1)
    _window(sheet, cowl + 0.02, top, half * 0.93, half * 0.90, heads=2, rng=rng)
    sheet.line([(-half * 0.5, cowl + 0.05), (half * 0.25, cowl + 0.08)], (16, 16, 16), 0.016)
    sheet.rectangle(half * 0.62, top - 0.20, half * 0.76, top - 0.09, (190, 200, 120))
    if rng.random() < 0.25:
        sheet.rectangle(-half * 0.6, top + 0.25, half * 0.6, top + 1.0, GLASS, gloss=0.9, corner=0.06)
    return sheet


def car_rear(shell: Shell, rng: np.random.Generator, paint: Bgr, *, plate_arc: float) -> Sheet:
    """Bumper, tail lamps, boot lid with the plate's recess, rear window and roof of a car."""
    sheet = face_sheet(shell, paint)
    half = shell.width_m / 2
    bumper, lid, sill, top = (shell.arc(name) for name in ("bumper", "lid", "sill", "top"))
    sheet.shade(0, bumper, 0.55, 0.95)
    sheet.rectangle(-half, 0, half, 0.16, (34, 34, 35), gloss=0.05)
    for sign in (-1, 1):
        sheet.rectangle(sign * half * 0.72 - 0.07, 0.02, sign * half * 0.72 + 0.07, 0.07, (120, 120, 118), corner=0.02)
        sheet.rectangle(
            sign * half * 0.80 - 0.08, 0.20, sign * half * 0.80 + 0.08, 0.245, RED_LAMP, gloss=0.5, glow=0.15
        )
    sheet.line([(-half, bumper + 0.02), (half, bumper + 0.02)], tone(paint, 0.35), 0.016)
    sheet.rectangle(-0.40, plate_arc - 0.14, 0.40, plate_arc + 0.13, tone(paint, 0.62), corner=0.03)
    sheet.rectangle(
        -0.42, plate_arc + 0.125, 0.42, plate_arc + 0.16, CHROME if rng.random() < 0.6 else BLACK, gloss=0.6
    )
    tall, deep = rng.uniform(0.13, 0.24), half * rng.uniform(0.46, 0.62)
    lamp: list[Point] = [
        (deep, lid - tall),
        (half * 0.985, lid - tall * 1.15),
        (half * 0.99, lid + 0.02),
        (deep + 0.03, lid - 0.02),
    ]
    sheet.mirrored(lamp, RED_LAMP, gloss=0.7, glow=0.5)
    for sign in (-1, 1):
        sheet.ellipse(sign * half * 0.86, lid - tall * 0.55, 0.07, tall * 0.26, (52, 40, 226), gloss=0.7, glow=0.9)
        sheet.rectangle(
            sign * (deep + 0.11) - 0.06,
            lid - tall * 0.8,
            sign * (deep + 0.11) + 0.06,
            lid - tall * 0.5,
            (196, 196, 200),
        )
    if rng.random() < 0.3:
        sheet.rectangle(-deep, lid - 0.09, deep, lid - 0.05, RED_LAMP, gloss=0.6, glow=0.3)
    centre = (lid + plate_arc + 0.16) / 2 + 0.01
    sheet.ellipse(0, centre, 0.06, 0.045, CHROME, gloss=0.8)
    sheet.text(pick(rng, BADGES), half * 0.36, lid - 0.12, 0.042, CHROME, fit_m=0.24)
    sheet.text(pick(rng, BADGES), -half * 0.38, lid - 0.12, 0.042, CHROME, fit_m=0.24)
    sheet.shade(lid, lid + 0.1, 0.8, 1.0)
    _window(sheet, sill + 0.03, top - 0.02, half * 0.88, half * 0.86, heads=2, rng=rng)
    for level in np.linspace(sill + 0.1, top - 0.1, 9):
        sheet.line([(-half * 0.8, level), (half * 0.8, level)], (44, 42, 52), 0.006)
    sheet.rectangle(-0.16, top - 0.075, 0.16, top - 0.05, RED_LAMP, glow=0.3)
    if rng.random() < 0.3:
        sheet.text("BABY IN CAR", -half * 0.35, sill + 0.12, 0.07, (200, 210, 40), fit_m=0.4)
    return sheet


def _wheel(sheet: Sheet, y: float, radius: float) -> None:
    sheet.ellipse(y, radius, radius * 1.16, radius * 1.2, (12, 12, 12), gloss=0.0)
    sheet.ellipse(y, radius, radius, radius, (30, 30, 31), gloss=0.0)
    sheet.ellipse(y, radius, radius * 0.64, radius * 0.64, (150, 150, 148), gloss=0.4)
    for turn in np.arange(5) * 2 * np.pi / 5:
        sheet.line(
            [(y, radius), (y + radius * 0.6 * np.cos(turn), radius + radius * 0.6 * np.sin(turn))],
            (70, 70, 70),
            radius * 0.1,
        )


def car_side(
    length: float, height: float, paint: Bgr, *, belt: float, wheels: tuple[float, float], glass: tuple[float, float]
) -> Sheet:
    """Doors, windows between two stations of Y, and wheels."""
    sheet = Sheet(length, height, paint=paint, gloss=0.4, px_per_m=130.0)
    sheet.rectangle(glass[0], belt + 0.02, glass[1], height - 0.07, GLASS, gloss=0.9)
    for share in (0.36, 0.68):
        y = glass[0] + (glass[1] - glass[0]) * share
        sheet.line([(y, belt), (y, height)], BLACK, 0.07)
        sheet.line([(y, 0.3), (y, belt)], tone(paint, 0.4), 0.014)
        sheet.rectangle(y - 0.26, belt - 0.13, y - 0.08, belt - 0.09, CHROME)
    sheet.line([(0.1, belt - 0.04), (length, belt - 0.02)], tone(paint, 0.75), 0.03)
    sheet.rectangle(0, 0, length, 0.30, tone(paint, 0.35), gloss=0.05)
    for y in wheels:
        _wheel(sheet, y, 0.32)
    return sheet


def truck_front(shell: Shell, rng: np.random.Generator, paint: Bgr) -> Sheet:
    """An upright cab: bumper with lamps, grille with its maker's name, screen, visor with a slogan."""
    sheet = face_sheet(shell, paint)
    half = shell.width_m / 2
    bumper, grille, cowl, top = (shell.arc(name) for name in ("bumper", "grille", "cowl", "top"))
    body = tone(paint, 0.35) if rng.random() < 0.5 else (150, 150, 150)
    sheet.rectangle(-half, 0, half, bumper, body, gloss=0.2)
    sheet.shade(0, bumper, 0.6, 1.0)
    sheet.rectangle(-half * 0.55, 0.05, half * 0.55, bumper * 0.42, BLACK, gloss=0.05)
    for sign in (-1, 1):
        sheet.rectangle(
            sign * half * 0.78 - 0.20,
            bumper * 0.36,
            sign * half * 0.78 + 0.20,
            bumper * 0.86,
            (72, 70, 68),
            gloss=0.7,
            glow=0.15,
            corner=0.04,
        )
        sheet.ellipse(sign * (half * 0.78 - 0.08), bumper * 0.61, 0.09, 0.085, LAMP, gloss=0.8, glow=1.0)
        sheet.ellipse(sign * (half * 0.78 + 0.10), bumper * 0.61, 0.07, 0.07, AMBER, gloss=0.6, glow=0.2)
    wide = half * rng.uniform(0.62, 0.82)
    sheet.rectangle(-wide, bumper + 0.06, wide, grille, (26, 26, 27), gloss=0.15, corner=0.05)
    for level in np.linspace(bumper + 0.12, grille - 0.22, int(rng.integers(3, 6))):
        sheet.line([(-wide * 0.94, level), (wide * 0.94, level)], CHROME if rng.random() < 0.6 else (90, 90, 90), 0.03)
    sheet.text(pick(rng, TRUCK_NAMES), 0, grille - 0.15, 0.10, (210, 210, 210), fit_m=wide * 1.6)
    sheet.line([(-half, bumper + 0.03), (half, bumper + 0.03)], tone(paint, 0.4), 0.02)
    sheet.line([(-half * 0.98, grille + 0.05), (half * 0.98, grille + 0.05)], tone(paint, 0.7), 0.02)
    _window(sheet, cowl, top - 0.03, half * 0.94, half * 0.93, heads=2, rng=rng)
    for sign in (-1, 0, 1):
        sheet.line([(sign * 0.5 - 0.3, cowl + 0.05), (sign * 0.5 + 0.22, cowl + 0.12)], (14, 14, 14), 0.022)
    sheet.rectangle(-half * 0.88, top - 0.24, half * 0.88, top - 0.04, tone(paint, 0.6), gloss=0.2)
    sheet.text(pick(rng, SLOGANS), 0, top - 0.20, 0.11, (230, 232, 236), fit_m=half * 1.5)
    for x in np.linspace(-0.7, 0.7, 5):
        sheet.ellipse(float(x) * half / 1.2, top + 0.06, 0.035, 0.025, AMBER, glow=0.6)
    return sheet


def cargo_face(
    width: float, height: float, rng: np.random.Generator, *, rear: bool, plate_text: str
) -> tuple[Sheet, Sheet, Sheet]:
    """Near face, side and roof of a cargo box; a rear face may show the plate's text large, as trucks do."""
    paint = ((214, 218, 220), (196, 200, 202), (176, 120, 60), (60, 120, 190), (120, 150, 96))[int(rng.integers(5))]
    ink: Bgr = (40, 36, 150) if sum(paint) > 480 else (236, 238, 238)
    face = Sheet(width, height, left=-width / 2, paint=paint, gloss=0.08)
    for x in np.arange(-width / 2, width / 2, 0.24):
        face.line([(x, 0), (x, height)], tone(paint, 0.93), 0.03)
    firm = pick(rng, FIRMS)
    if rear:
        face.line([(0, 0), (0, height)], tone(paint, 0.3), 0.03)
        for sign in (-1, 1):
            face.line([(sign * 0.22, 0.05), (sign * 0.22, height - 0.05)], (120, 122, 122), 0.05)
            for hinge in np.linspace(0.2, height - 0.2, 4):
                face.rectangle(
                    sign * (width / 2 - 0.09) - 0.07,
                    hinge - 0.04,
                    sign * (width / 2 - 0.09) + 0.07,
                    hinge + 0.04,
                    (96, 96, 96),
                )
        face.text(firm, 0, height * 0.70, 0.22, ink, fit_m=width * 0.86)
        face.text(phone(rng), 0, height * 0.50, 0.18, ink, fit_m=width * 0.7)
        if rng.random() < 0.55:
            shown = f"{plate_text[:3]} {plate_text[3:]}"
            face.text(shown, 0, height * 0.17, 0.30, (26, 26, 28) if sum(paint) > 480 else ink, fit_m=width * 0.8)
        for x in np.arange(-width / 2, width / 2, 0.3):
            face.rectangle(x, 0.02, x + 0.15, 0.07, (40, 36, 190))
            face.rectangle(x + 0.15, 0.02, x + 0.3, 0.07, (220, 220, 222))
    else:
        face.text(firm, 0, height * 0.45, 0.2, ink, fit_m=width * 0.85)
    side = Sheet(7.0, height, paint=paint, gloss=0.08, px_per_m=90.0)
    for y in np.arange(0, 7.0, 0.3):
        side.line([(y, 0), (y, height)], tone(paint, 0.9), 0.04)
    side.text(firm, 3.5, height * 0.5, 0.5, ink, fit_m=6.0)
    side.text(phone(rng), 3.5, height * 0.2, 0.3, ink, fit_m=3.0)
    roof = Sheet(width, 7.0, left=-width / 2, paint=tone(paint, 0.92), gloss=0.1, px_per_m=60.0)
    for y in np.arange(0, 7.0, 0.6):
        roof.line([(-width / 2, y), (width / 2, y)], tone(paint, 0.8), 0.05)
    for sheet, amount in ((face, 0.35), (side, 0.4), (roof, 0.3)):
        sheet.dirt(rng, amount * rng.uniform(0.3, 1.2))
    return face, side, roof


def bed_rear(width: float, height: float, rng: np.random.Generator) -> Sheet:
    """Under a truck's box: dark frame, bumper bar with reflectors, lamps; the plate hangs in its middle."""
    sheet = Sheet(width, height, left=-width / 2, paint=(30, 30, 32), gloss=0.03)
    sheet.rectangle(-width / 2, height * 0.78, width / 2, height, (46, 46, 48))
    sheet.rectangle(-width / 2, height * 0.02, width / 2, height * 0.20, (70, 72, 74))
    for index, x in enumerate(np.arange(-width / 2, width / 2, 0.22)):
        sheet.rectangle(x, height * 0.04, x + 0.22, height * 0.18, (40, 36, 190) if index % 2 else (224, 226, 226))
    for sign in (-1, 1):
        x = sign * (width / 2 - 0.30)
        sheet.rectangle(x - 0.24, height * 0.40, x + 0.24, height * 0.62, (26, 24, 60), gloss=0.3)
        for step, paint in enumerate((RED_LAMP, AMBER, (210, 210, 214))):
            sheet.rectangle(
                x - 0.22 + step * 0.15,
                height * 0.42,
                x - 0.09 + step * 0.15,
                height * 0.60,
                paint,
                gloss=0.4,
                glow=0.7 if step == 0 else 0.05,
            )
    sheet.dirt(rng, rng.uniform(0.2, 0.6))
    return sheet


def bus_front(shell: Shell, rng: np.random.Generator, paint: Bgr) -> Sheet:
    """A coach: low lamps, a wide screen, the route over it."""
    sheet = face_sheet(shell, paint)
    half = shell.width_m / 2
    bumper, cowl, top = (shell.arc(name) for name in ("bumper", "cowl", "top"))
    trim: Bgr = (rng.uniform(20, 220), rng.uniform(20, 160), rng.uniform(20, 220))
    sheet.shade(0, bumper, 0.6, 1.0)
    sheet.polygon([(-half, bumper * 0.6), (half, bumper * 0.9), (half, bumper * 1.3), (-half, bumper * 1.0)], trim)
    sheet.rectangle(-half * 0.5, 0.04, half * 0.5, bumper * 0.35, BLACK)
    for sign in (-1, 1):
        sheet.polygon(
            [
                (sign * half * 0.56, bumper * 0.7),
                (sign * half * 0.97, bumper * 0.8),
                (sign * half * 0.97, bumper * 1.25),
                (sign * half * 0.66, bumper * 1.05),
            ],
            (80, 78, 76),
            gloss=0.8,
            glow=0.2,
        )
        sheet.ellipse(sign * half * 0.72, bumper * 0.9, 0.09, 0.08, LAMP, gloss=0.8, glow=1.0)
        sheet.ellipse(sign * half * 0.87, bumper * 0.98, 0.08, 0.08, LAMP, gloss=0.8, glow=0.9)
    sheet.text(pick(rng, TRUCK_NAMES), 0, bumper * 1.12, 0.12, CHROME, fit_m=0.9)
    _window(sheet, cowl, top - 0.42, half * 0.96, half * 0.95, heads=3, rng=rng)
    sheet.rectangle(-half * 0.9, top - 0.42, half * 0.9, top - 0.06, (16, 16, 16), gloss=0.5)
    sheet.text(pick(rng, PLACES), 0, top - 0.33, 0.17, (60, 170, 250), fit_m=half * 1.5)
    sheet.text(phone(rng), 0, cowl + 0.06, 0.12, (60, 200, 240), fit_m=1.0)
    return sheet


def bus_rear(shell: Shell, rng: np.random.Generator, paint: Bgr, *, plate_arc: float) -> Sheet:
    """A coach from behind: engine louvres, lamps, window, firm and telephone."""
    sheet = face_sheet(shell, paint)
    half = shell.width_m / 2
    bumper, cowl, top = (shell.arc(name) for name in ("bumper", "cowl", "top"))
    trim: Bgr = (rng.uniform(20, 220), rng.uniform(20, 160), rng.uniform(20, 220))
    sheet.rectangle(-half, 0, half, bumper * 0.45, (48, 48, 50), gloss=0.1)
    sheet.polygon([(-half, cowl * 0.62), (half, cowl * 0.82), (half, cowl), (-half, cowl * 0.8)], trim)
    for level in np.arange(plate_arc + 0.2, cowl - 0.12, 0.05):
        sheet.line([(-half * 0.55, level), (half * 0.55, level)], (38, 38, 40), 0.024)
    for sign in (-1, 1):
        for step, colour in enumerate((RED_LAMP, AMBER, RED_LAMP)):
            sheet.ellipse(
                sign * half * 0.88,
                bumper * 0.75 + step * 0.2,
                0.09,
                0.085,
                colour,
                gloss=0.6,
                glow=0.6 if step != 1 else 0.1,
            )
    _window(sheet, cowl + 0.05, top - 0.45, half * 0.85, half * 0.84, heads=0, rng=rng)
    sheet.text(pick(rng, PLACES), 0, top - 0.34, 0.19, trim, fit_m=half * 1.6)
    sheet.text(phone(rng), 0, cowl + 0.12, 0.15, (220, 224, 226), fit_m=1.2)
    return sheet


def coach_side(
    length: float, height: float, paint: Bgr, rng: np.random.Generator, *, belt: float, wheels: tuple[float, ...]
) -> Sheet:
    """A long row of windows and an advert beneath."""
    sheet = Sheet(length, height, paint=paint, gloss=0.35, px_per_m=90.0)
    sheet.rectangle(0.3, belt, length, height - 0.3, GLASS, gloss=0.9)
    for y in np.arange(1.2, length, 1.3):
        sheet.line([(y, belt), (y, height - 0.3)], BLACK, 0.08)
    sheet.text(pick(rng, FIRMS), length / 2, belt - 0.42, 0.3, (40, 40, 170), fit_m=5.0)
    for y in wheels:
        _wheel(sheet, y, 0.48)
    return sheet


def rider(rng: np.random.Generator, *, rear: bool) -> Sheet:
    """A motorbike with its rider as one upright picture with holes around it, 0.9 m by 1.75 m."""
    sheet = Sheet(0.9, 1.75, left=-0.45, paint=(0, 0, 0), px_per_m=240.0)
    sheet.alpha[:] = 0
    jacket: Bgr = (float(rng.uniform(20, 170)), float(rng.uniform(20, 120)), float(rng.uniform(20, 170)))
    helmet: Bgr = (float(rng.uniform(20, 230)), float(rng.uniform(20, 230)), float(rng.uniform(20, 230)))
    body: Bgr = (float(rng.uniform(20, 60)), float(rng.uniform(20, 60)), float(rng.uniform(60, 180)))
    sheet.rectangle(-0.055, 0.0, 0.055, 0.62, (26, 26, 27), corner=0.03)
    sheet.mirrored([(0.12, 0.20), (0.20, 0.22), (0.24, 0.80), (0.10, 0.80)], (60, 54, 50))
    sheet.polygon([(-0.15, 0.42), (0.15, 0.42), (0.19, 0.86), (-0.19, 0.86)], body, gloss=0.4)
    sheet.line([(-0.40, 1.02), (0.40, 1.02)], (40, 40, 40), 0.04)
    sheet.mirrored([(0.16, 1.30), (0.25, 1.26), (0.36, 1.04), (0.29, 1.00)], tone(jacket, 0.85))
    sheet.polygon([(-0.21, 0.80), (0.21, 0.80), (0.25, 1.28), (0.12, 1.40), (-0.12, 1.40), (-0.25, 1.28)], jacket)
    sheet.line([(0.0, 0.85), (0.0, 1.36)], tone(jacket, 0.7), 0.015)
    sheet.ellipse(0, 1.52, 0.13, 0.16, helmet, gloss=0.7)
    if rear:
        sheet.ellipse(0, 0.86, 0.09, 0.05, RED_LAMP, gloss=0.6, glow=0.8)
    else:
        sheet.rectangle(-0.09, 1.44, 0.09, 1.55, (44, 40, 38), gloss=0.8, corner=0.03)
        sheet.ellipse(0, 0.90, 0.09, 0.08, LAMP, gloss=0.8, glow=1.0)
    for sign in (-1, 1):
        sheet.ellipse(sign * 0.30, 0.88 if rear else 0.93, 0.035, 0.03, AMBER)
        sheet.ellipse(sign * 0.38, 1.16, 0.055, 0.04, (40, 40, 42), gloss=0.8)
    sheet.alpha[:] = np.where(sheet.colour.max(axis=2) > 0, 255, 0).astype(np.uint8)
    return sheet
