"""Whether a picture follows the one before, by the numbers that its own stream gives them.

A long step between two time stamps may be a lost picture; or the camera took none, for it takes 25 of 30, or fewer at
night, or none while nothing moves. H.264 counts pictures that others refer to (`frame_num`, ITU-T H.264, 7.4.3), H.265
all of them in the order of display (`slice_pic_order_cnt_lsb`, ITU-T H.265, 7.4.7.1), so that a hole shows.

Only the first bits of the first slice are read. Whatever cannot be read says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

BEFORE = 2
"""Packets that are looked at beside the one in question."""
_HEAD_BYTES = 256
"""Enough of a parameter set, more than enough of a slice."""
_SPS, _IDR, _SLICE = 7, 5, 1
"""Of H.264, table 7-1."""
_HEVC_SPS, _HEVC_PPS, _HEVC_IDR, _HEVC_IRAP, _HEVC_LAST_SLICE = 33, 34, (19, 20), range(16, 24), 31
"""Of H.265, table 7-1."""
_CODECS = frozenset({"h264", "hevc"})
_WITH_CHROMA = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
"""Profiles of H.264 whose parameters tell the chroma format (7.3.2.1.1)."""


class _Number(NamedTuple):
    """Of a picture."""

    value: int
    modulus: int
    counts: bool
    """The next picture has the next number."""


class _Bits:
    """The bits of a NAL unit behind its header. Raises IndexError at their end."""

    def __init__(self, unit: bytes, header_bytes: int) -> None:
        self._data = unit[header_bytes:_HEAD_BYTES].replace(b"\0\0\3", b"\0\0")
        self._at = 0

    def take(self, count: int = 1) -> int:
        value = 0
        for _ in range(count):
            value = value << 1 | self._data[self._at >> 3] >> (7 - (self._at & 7)) & 1
            self._at += 1
        return value

    def golomb(self) -> int:
        """An unsigned Exp-Golomb code, ue(v)."""
        zeros = 0
        while not self.take():
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)


@dataclass(slots=True)
class Numbering:
    """What is known of one stream's numbers."""

    codec: str
    length_bytes: int = 0
    """Of the length before each NAL unit; 0: they begin with a start code (annex B)."""
    _frame_bits: int = 0
    _colour_bits: int = 0
    """Of `colour_plane_id`."""
    _slice_bits: dict[int, tuple[bool, int]] = field(default_factory=dict)
    """By number of an H.265 picture parameter set: whether slices tell `pic_output_flag`, and their extra bits."""

    @classmethod
    def of(cls, context: VideoCodecContext) -> Numbering:
        """Of a stream that is opened."""
        extra = context.extradata or b""
        numbering = cls(context.name)
        if extra[:1] == b"\1":  # avcC or hvcC (ISO/IEC 14496-15)
            place = 4 if context.name == "h264" else 21
            numbering.length_bytes = (extra[place] & 3) + 1 if len(extra) > place else 0
            numbering._learn(_units_of_record(extra, context.name))
        else:
            numbering._learn(_units(extra, 0))
        return numbering

    def learn(self, packet: Packet[VideoStream]) -> None:
        """A key frame may bring new parameters."""
        if self.codec in _CODECS:
            self._learn(_units(bytes(packet), self.length_bytes))

    def follows(self, before: Sequence[Packet[VideoStream]], packet: Packet[VideoStream], steps: float) -> bool:
        """Whether nothing can be missing between the last of the packets `before` and `packet`, which comes as late as
        if it were `steps` pictures further on."""
        numbers = [self._number(bytes(each)) for each in (*before, packet)]
        known = [each for each in numbers if each is not None]
        if len(known) < len(numbers) or len(known) < 2:
            return False
        if self.codec == "h264":
            last, new = known[-2:]
            return steps < new.modulus and (last.value + last.counts - new.value) % new.modulus == 0
        step, *others = [(new.value - last.value) % new.modulus for last, new in pairwise(known)]
        return bool(others) and steps * step < known[-1].modulus and all(other == step > 0 for other in others)

    def _number(self, data: bytes) -> _Number | None:
        try:
            for unit in _units(data, self.length_bytes):
                number = self._number_of_h264(unit) if self.codec == "h264" else self._number_of_hevc(unit)
                if number is not None:
                    return number
        except (IndexError, KeyError):
            return None
        return None

    def _number_of_h264(self, unit: bytes) -> _Number | None:
        if unit[0] & 31 not in (_SLICE, _IDR) or not self._frame_bits:
            return None
        bits = _Bits(unit, 1)
        for _ in ("first_mb_in_slice", "slice_type", "pic_parameter_set_id"):
            bits.golomb()
        bits.take(self._colour_bits)
        return _Number(bits.take(self._frame_bits), 1 << self._frame_bits, bool(unit[0] & 0x60))

    def _number_of_hevc(self, unit: bytes) -> _Number | None:
        kind = unit[0] >> 1 & 63
        if kind > _HEVC_LAST_SLICE or not self._frame_bits:
            return None
        bits = _Bits(unit, 2)
        if not bits.take():
            raise KeyError("not the first slice")
        bits.take(kind in _HEVC_IRAP)
        with_output, extra = self._slice_bits[bits.golomb()]
        bits.take(extra)
        bits.golomb()
        bits.take(with_output + self._colour_bits)
        value = 0 if kind in _HEVC_IDR else bits.take(self._frame_bits)
        return _Number(value, 1 << self._frame_bits, counts=True)

    def _learn(self, units: Iterator[bytes]) -> None:
        for unit in units:
            try:
                if self.codec == "h264" and unit[0] & 31 == _SPS:
                    self._learn_h264(_Bits(unit, 1))
                elif self.codec == "hevc" and unit[0] >> 1 & 63 == _HEVC_SPS:
                    self._learn_hevc(_Bits(unit, 2))
                elif self.codec == "hevc" and unit[0] >> 1 & 63 == _HEVC_PPS:
                    self._learn_slices(_Bits(unit, 2))
            except IndexError:
                self._frame_bits = 0

    def _learn_h264(self, bits: _Bits) -> None:
        """7.3.2.1.1, as far as log2_max_frame_num_minus4. One with scaling matrices, which cameras do not send, says
        nothing."""
        profile = bits.take(8)
        bits.take(16)
        bits.golomb()
        separate = scaled = 0
        if profile in _WITH_CHROMA:
            separate = bits.take() if bits.golomb() == 3 else 0
            bits.golomb()
            bits.golomb()
            bits.take()
            scaled = bits.take()
        self._colour_bits = 2 * separate
        self._frame_bits = 0 if scaled else bits.golomb() + 4

    def _learn_hevc(self, bits: _Bits) -> None:
        """7.3.2.2.1, as far as log2_max_pic_order_cnt_lsb_minus4."""
        bits.take(4)
        layers = bits.take(3)
        bits.take(1 + 96)
        present = [(bits.take(), bits.take()) for _ in range(8 if layers else 0)][:layers]
        for with_profile, with_level in present:
            bits.take(88 * with_profile + 8 * with_level)
        bits.golomb()
        self._colour_bits = 2 * bits.take() if bits.golomb() == 3 else 0
        bits.golomb()
        bits.golomb()
        for _ in range(4 * bits.take()):
            bits.golomb()
        bits.golomb()
        bits.golomb()
        self._frame_bits = bits.golomb() + 4

    def _learn_slices(self, bits: _Bits) -> None:
        """7.3.2.3.1, its beginning."""
        number = bits.golomb()
        bits.golomb()
        bits.take()
        with_output = bool(bits.take())
        self._slice_bits[number] = with_output, bits.take(3)


def _units(data: bytes, length_bytes: int) -> Iterator[bytes]:
    """The beginnings of the NAL units of a packet, none of them empty."""
    at = 0
    if length_bytes:
        while at + length_bytes < len(data):
            length = int.from_bytes(data[at : at + length_bytes])
            at += length_bytes
            if length:
                yield data[at : at + min(length, _HEAD_BYTES)]
            at += length
        return
    while (at := data.find(b"\0\0\1", at)) >= 0 and (at := at + 3) < len(data):
        yield data[at : at + _HEAD_BYTES]


def _units_of_record(extra: bytes, codec: str) -> Iterator[bytes]:
    """The parameter sets of a decoder configuration record (ISO/IEC 14496-15)."""
    at, lists = (5, 2) if codec == "h264" else (23, extra[22] if len(extra) > 22 else 0)
    for _ in range(lists):
        if codec == "h264":
            count, at = (extra[at] & 31 if at < len(extra) else 0), at + 1
        else:
            count, at = int.from_bytes(extra[at + 1 : at + 3]), at + 3
        for _ in range(count):
            length = int.from_bytes(extra[at : at + 2])
            if length:
                yield extra[at + 2 : at + 2 + min(length, _HEAD_BYTES)]
            at += 2 + length
