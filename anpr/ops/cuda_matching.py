"""Plates by the million against reads and queries, on a GPU: no index, every plate is looked at.

Meant for what an index is no help with: an analyst who allows several edits over all that was ever stored, and a proof
of the index's answers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from anpr.ops import cuda_jobs
from anpr.ops.cuda_driver import Driver
from anpr.ops.matching_contract import RADIX
from anpr.ops.surfaces import DeviceArray

LATTICE_HIT = np.dtype([("read", np.int32), ("position", np.int32), ("score", np.float32), ("unused", np.int32)])
EDIT_HIT = np.dtype([("position", np.int32), ("edits", np.int32)])
QUERY = np.dtype([("places", np.uint32, RADIX), ("length", np.int32)])

THREADS = 256
BLOCKS_MOST = 4096
"""Of one launch; threads stride over what is left. As many as the largest GPU holds at once, some times over."""
READS = 16
"""A block scores so many reads."""
FIRST_ROOM = 1 << 16
"""Hits for which there is room at first."""


class CudaMatching:
    """The matching of `CudaBatches`, with its own buffers on the driver."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def score_plates(
        self,
        plates: DeviceArray,
        ratios: NDArray[np.float32],
        bases: NDArray[np.float32],
        *,
        missing: float,
        extra: float,
        least: float,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float32]]:
        """See `anpr.ops.contract.Batches.score_plates`."""
        lattices, chances = self._put(ratios), self._put(bases)

        def launch(found: DeviceArray, hits: DeviceArray) -> None:
            arguments = cuda_jobs.pack(
                None,
                "PPPPPiiifff",
                lattices.address,
                chances.address,
                plates.address,
                found.address,
                hits.address,
                len(ratios),
                plates.shape[0],
                hits.shape[0],
                missing,
                extra,
                least,
            )
            grid = (_blocks(plates), -(-len(ratios) // READS), 1)
            self._driver.launch("match_lattices", grid, (THREADS, 1, 1), arguments)

        hits = self._collect(launch, LATTICE_HIT) if len(ratios) and plates.shape[0] else np.empty(0, LATTICE_HIT)
        hits = hits[np.lexsort((hits["position"], hits["read"]))]
        return hits["read"].copy(), hits["position"].astype(np.int64), hits["score"].copy()

    def plates_within(
        self, plates: DeviceArray, query: int, *, most_edits: int
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """See `anpr.ops.contract.Batches.plates_within`."""
        packed = np.zeros(1, QUERY)
        digits = _digits(query)
        packed["length"] = len(digits)
        for place, digit in enumerate(digits):
            packed["places"][0, digit] |= 1 << place

        def launch(found: DeviceArray, hits: DeviceArray) -> None:
            arguments = cuda_jobs.pack(
                packed,
                "PPPiii",
                plates.address,
                found.address,
                hits.address,
                plates.shape[0],
                hits.shape[0],
                most_edits,
            )
            self._driver.launch("match_edits", (_blocks(plates), 1, 1), (THREADS, 1, 1), arguments)

        hits = self._collect(launch, EDIT_HIT) if plates.shape[0] else np.empty(0, EDIT_HIT)
        hits = hits[np.argsort(hits["position"])]
        return hits["position"].astype(np.int64), hits["edits"].astype(np.uint8)

    def _put(self, values: NDArray[np.float32]) -> DeviceArray:
        array = self._driver.allocate(values.shape, values.dtype)
        self._driver.write(array, np.ascontiguousarray(values))
        return array

    def _collect(self, launch: Callable[[DeviceArray, DeviceArray], None], kind: np.dtype[np.void]) -> NDArray[np.void]:
        """What a kernel finds; it runs again, with room enough, if there was too little."""
        room = FIRST_ROOM
        while True:
            found, hits = self._driver.allocate((1,), np.int32), self._driver.allocate((room,), kind)
            launch(found, hits)
            count = int(self._driver.read(found)[0][0])
            if count <= room:
                return self._driver.read(hits.first(count))[0]
            room = count


def _blocks(plates: DeviceArray) -> int:
    return min(BLOCKS_MOST, -(-plates.shape[0] // THREADS))


def _digits(code: int) -> list[int]:
    """A code's digits, from the left."""
    digits = []
    while code:
        code, digit = divmod(code, RADIX)
        digits.append(digit)
    return digits[::-1]
