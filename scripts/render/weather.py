"""What happens to a plate on the road, and in a camera.

`weather` soils and lights a plate; `photograph` is the optics, the sensor and the codec. Both take and give
(h, w, 3) uint8 BGR of any size, leave their input alone, and are decided by `rng` alone. About 1 ms together for
128x256.
"""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Cover = NDArray[np.uint8]


def weather(plate_bgr: Picture, rng: np.random.Generator, *, strength: float = 1.0) -> Picture:
    """A plate after some years, in some light. `strength` scales how often each thing happens, 0 = never."""
    picture = plate_bgr.copy()

    def happens(share: float) -> bool:
        return bool(rng.random() < share * strength)

    if happens(0.25):
        picture = _fade(picture, rng)
    if happens(0.30):
        _dirt(picture, rng)
    if happens(0.15):
        _scratches(picture, rng)
    if happens(0.06):
        _sticker(picture, rng)
    if happens(0.5):
        picture = _light(picture, rng)
    if happens(0.15):
        picture = _glare(picture, rng)
    if happens(0.18):
        picture = _infrared(picture, rng)
    return _legible(picture, plate_bgr)


def photograph(image: Picture, rng: np.random.Generator, *, strength: float = 1.0) -> Picture:
    """The image as a traffic camera gives it: blur, lost resolution, tone, noise, compression.

    `strength` 1 spans what can still be read by a person, mostly; 0 changes nothing.
    """
    picture = image.copy()

    def happens(share: float) -> bool:
        return bool(rng.random() < share * strength)

    height = picture.shape[0]
    if happens(0.3):
        picture = _motion_blur(picture, rng, longest=0.075 * height)
    if happens(0.6):
        sigma = float(rng.exponential(0.012) * height) + 0.2
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), min(sigma, 0.03 * height + 0.3)), np.uint8)
    if happens(0.45):
        picture = _lost_resolution(picture, rng)
    if happens(0.25):
        sharpened = cv2.GaussianBlur(picture, (0, 0), 0.02 * height + 0.5)
        amount = float(rng.uniform(0.3, 1.5))
        picture = np.asarray(cv2.addWeighted(picture, 1 + amount, sharpened, -amount, 0), np.uint8)
    if happens(0.8):
        picture = _tone(picture, rng)
    if happens(0.5):
        picture = _noise(picture, rng)
    if happens(0.6):
        quality = int(np.clip(rng.normal(45, 22), 8, 95))
        _, code = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, quality))
        picture = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
    return _legible(picture, image)


def _legible(picture: Picture, before: Picture) -> Picture:
    """The picture, or a mixture with what it was made of where most of its contrast got lost."""
    had, have = (float(np.mean(cv2.meanStdDev(each)[1])) for each in (before, picture))
    lowest = min(had, max(8.0, 0.25 * had))
    if have >= lowest:
        return picture
    share = min(1.0, 1.2 * (lowest - have) / max(had - have, 1.0))
    return np.asarray(cv2.addWeighted(picture, 1 - share, before, share, 0), np.uint8)


def _cloud(rng: np.random.Generator, shape: tuple[int, ...], cells: int) -> NDArray[np.uint8]:
    """Smooth noise 0..255, (h, w), about `cells` blobs high."""
    height, width = shape[:2]
    across = max(2, round(cells * width / height))
    coarse = rng.integers(0, 256, (cells, across), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _mix(picture: Picture, colour: NDArray[np.float64], cover: Cover) -> None:
    """Paint `colour` with coverage 0..255, in place."""
    three = cv2.merge((cover, cover, cover))
    kept = cv2.multiply(picture, cv2.bitwise_not(three), scale=1 / 255)
    fill = np.full_like(picture, np.clip(colour, 0, 255).astype(np.uint8))
    cv2.add(kept, cv2.multiply(fill, three, scale=1 / 255), dst=picture)


def _ramped(cover: Cover, threshold: int, slope: float, *, most: int = 255) -> Cover:
    """The cover above `threshold`, times `slope`, up to `most`."""
    table = np.clip((np.arange(256) - threshold) * slope, 0, most).astype(np.uint8)
    return np.asarray(cv2.LUT(cover, table), np.uint8)


def _scale(picture: Picture, gain: NDArray[np.uint8]) -> Picture:
    """The picture times gain / 128."""
    return np.asarray(cv2.multiply(picture, cv2.merge((gain, gain, gain)), scale=1 / 128), np.uint8)


def _fade(picture: Picture, rng: np.random.Generator) -> Picture:
    """Ink and paint come nearer to each other, evenly or in patches."""
    mean = np.array(cv2.mean(picture)[:3])
    if rng.random() < 0.5:
        keep = float(rng.uniform(0.35, 0.8))
        veil = np.full_like(picture, mean.astype(np.uint8))
        return np.asarray(cv2.addWeighted(picture, keep, veil, 1 - keep, 0), np.uint8)
    cover = _cloud(rng, picture.shape, int(rng.integers(2, 6)))
    cover = _ramped(cover, 0, float(rng.uniform(0.3, 0.75)))
    faded = picture.copy()
    _mix(faded, mean + rng.normal(0, 15, 3), cover)
    return faded


def _dirt(picture: Picture, rng: np.random.Generator) -> None:
    """Mud and dust in blots, more of it below at times."""
    mud = np.array((70, 95, 115)) * rng.uniform(0.4, 1.5) + rng.normal(0, 10, 3)
    cover = _cloud(rng, picture.shape, int(rng.integers(3, 14)))
    threshold, slope = int(rng.integers(110, 200)), float(rng.uniform(0.7, 2.2))
    cover = _ramped(cover, threshold, slope, most=int(rng.integers(60, 190)))
    if rng.random() < 0.4:
        rising = np.linspace(0, 255, picture.shape[0], dtype=np.uint16)[:, None]
        cover = (cover * rising >> 8).astype(np.uint8)
    _mix(picture, mud, cover)


def _scratches(picture: Picture, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    for _ in range(int(rng.integers(1, 7))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        angle, length = rng.uniform(0, math.tau), rng.uniform(0.05, 0.5) * height
        end = (round(x + math.cos(angle) * length), round(y + math.sin(angle) * length))
        shade = np.clip(rng.uniform(60, 240) + rng.normal(0, 10, 3), 0, 255)
        thickness = max(1, round(height * rng.uniform(0.004, 0.02)))
        cv2.line(picture, (round(x), round(y)), end, tuple(float(v) for v in shade), thickness, cv2.LINE_AA)


def _sticker(picture: Picture, rng: np.random.Generator) -> None:
    """The red-yellow sticker of an auctioned number or the green one of a clean vehicle, near an edge."""
    height, width = picture.shape[:2]
    size = rng.uniform(0.08, 0.16) * height
    x = rng.uniform(0.03, 0.1) * width if rng.random() < 0.5 else rng.uniform(0.86, 0.95) * width
    y = rng.uniform(0.1, 0.85) * height
    near, far = (round(x), round(y)), (round(x + size * 1.4), round(y + size))
    if rng.random() < 0.5:
        cv2.rectangle(picture, near, far, (35, 35, 200), -1)
        cv2.circle(picture, ((near[0] + far[0]) // 2, (near[1] + far[1]) // 2), round(size / 4), (40, 210, 245), -1)
    else:
        cv2.circle(picture, near, round(size / 2), (70, 150, 40), -1, cv2.LINE_AA)


def _light(picture: Picture, rng: np.random.Generator) -> Picture:
    """A slope of light, or the edge of a shadow: one smooth half-plane, brighter on one side."""
    height, width = picture.shape[:2]
    angle = rng.uniform(0, math.tau)
    xs = np.linspace(-1, 1, 32) * math.cos(angle)
    ys = np.linspace(-1, 1, 16)[:, None] * math.sin(angle)
    edge = rng.uniform(-0.7, 0.7)
    hardness = rng.uniform(0.5, 12.0)
    side = 1 / (1 + np.exp(-hardness * (xs + ys - edge)))
    if rng.random() < 0.25:
        side = 1 - 2 * np.abs(side - 0.5)
    dark, bright = rng.uniform(0.3, 0.95), rng.uniform(0.85, 1.35)
    gain = np.clip((dark + (bright - dark) * side) * 128, 0, 255).astype(np.uint8)
    return _scale(picture, np.asarray(cv2.resize(gain, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8))


def _glare(picture: Picture, rng: np.random.Generator) -> Picture:
    """Over-exposure: a headlight on the reflective film, whole or in a spot."""
    if rng.random() < 0.5:
        gain, lift = float(rng.uniform(1.1, 1.6)), float(rng.uniform(0, 40))
        return np.asarray(cv2.convertScaleAbs(picture, alpha=gain, beta=lift), np.uint8)
    height, width = picture.shape[:2]
    centre = rng.uniform(0, 1, 2) * (1, height / width)
    reach = rng.uniform(0.08, 0.35)
    xs = (np.linspace(0, 1, 64) - centre[0]) ** 2
    ys = (np.linspace(0, height / width, 32)[:, None] - centre[1]) ** 2
    spot = (np.exp(-(xs + ys) / (2 * reach**2)) * rng.uniform(50, 160)).astype(np.uint8)
    spot = np.asarray(cv2.resize(spot, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    return np.asarray(cv2.add(picture, cv2.merge((spot, spot, spot))), np.uint8)


def _infrared(picture: Picture, rng: np.random.Generator) -> Picture:
    """A near-infrared camera: one channel of unusual mix, where red paint is bright and blue may vanish."""
    share = rng.dirichlet((0.5, 1.0, 2.0))
    grey = cv2.transform(picture, share[None])
    gain, lift = float(rng.uniform(0.5, 1.1)), float(rng.uniform(-10, 60))
    grey = cv2.convertScaleAbs(grey, alpha=gain, beta=lift)
    return np.asarray(cv2.merge((grey, grey, grey)), np.uint8)


def _motion_blur(picture: Picture, rng: np.random.Generator, *, longest: float) -> Picture:
    """A straight smear of up to `longest` pixels, mostly downwards: traffic comes towards the camera."""
    length = rng.uniform(1.0, max(1.5, longest))
    size = 2 * math.ceil(length / 2) + 3
    angle = rng.normal(math.pi / 2, 0.35) if rng.random() < 0.6 else rng.uniform(0, math.pi)
    half = np.array((math.cos(angle), math.sin(angle))) * length / 2
    middle = (size - 1) / 2
    start, end = (tuple(np.round((middle + sign * half) * 16).astype(int).tolist()) for sign in (-1, 1))
    kernel = np.zeros((size, size), np.uint8)
    cv2.line(kernel, start, end, 255, 1, cv2.LINE_AA, shift=4)
    weights = kernel.astype(np.float32)
    return np.asarray(cv2.filter2D(picture, -1, weights / weights.sum(), borderType=cv2.BORDER_REPLICATE), np.uint8)


def _lost_resolution(picture: Picture, rng: np.random.Generator) -> Picture:
    """The picture as it was at fewer pixels, brought back to its size."""
    height, width = picture.shape[:2]
    keep = float(np.exp(rng.uniform(math.log(0.25), 0)))
    small = (max(8, round(width * keep)), max(8, round(height * keep * rng.uniform(0.8, 1.2))))
    down = cv2.INTER_AREA if rng.random() < 0.6 else cv2.INTER_LINEAR
    up = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
    reduced = cv2.resize(picture, small, interpolation=down)
    return np.asarray(cv2.resize(reduced, (width, height), interpolation=up), np.uint8)


def _tone(picture: Picture, rng: np.random.Generator) -> Picture:
    """Exposure, gamma, contrast and a colour cast, as one table per channel."""
    levels = np.linspace(0, 1, 256)[:, None]
    gamma = np.exp(rng.normal(0, 0.3))
    contrast = rng.uniform(0.35, 1.15) if rng.random() < 0.25 else rng.uniform(0.8, 1.2)
    lift = rng.normal(0, 0.09)
    cast = 1 + rng.normal(0, 0.035, 3)
    exposure = np.exp(rng.normal(-0.05, 0.35))
    curve = np.clip(((levels**gamma - 0.5) * contrast + 0.5 + lift) * exposure * cast, 0, 1)
    return np.asarray(cv2.LUT(picture, np.round(curve * 255).astype(np.uint8)[None]), np.uint8)


@cache
def _normal_quantiles() -> NDArray[np.float64]:
    """256 equally likely values of a standard normal: turns random bytes into Gaussian noise by one look-up."""
    return np.array([NormalDist().inv_cdf((step + 0.5) / 256) for step in range(256)])


def _noise(picture: Picture, rng: np.random.Generator) -> Picture:
    """Sensor noise, fine or coarse as denoisers leave it, grey or coloured."""
    height, width, channels = picture.shape
    sigma = min(22.0, float(rng.exponential(4.0)) + 0.8)
    coarse = rng.random() < 0.35
    shape = (height // 2 + 1, width // 2 + 1) if coarse else (height, width)
    grey = rng.random() < 0.5
    count = 1 if grey else channels
    raw = np.frombuffer(rng.bytes(shape[0] * shape[1] * count), np.uint8).reshape(*shape, count)
    table = np.clip(128 + _normal_quantiles() * sigma, 0, 255).astype(np.uint8)
    noise = cv2.LUT(raw, table)
    if coarse:
        noise = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
    if grey:
        noise = cv2.merge((noise, noise, noise))
    return np.asarray(cv2.addWeighted(picture, 1, noise, 1, -128), np.uint8)
