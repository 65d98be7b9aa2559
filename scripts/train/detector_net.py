"""The detector's network: grey picture in, maps at an eighth of its size out.

Ten maps: the chance that a plate's centre lies in the cell, the chance that the plate has two lines, and the 4 corners
relative to the cell's centre, in cells. Conv + ReLU only, down to 1/32 so that a cell sees a whole car's face, and
back up by repeating pixels (after Zhou et al. 2019, "Objects as Points", with corners instead of a box).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scripts.train.reader_net import conv

STRIDE = 8
HEIGHT, WIDTH = 384, 640
CORNER_SCALE = 4.0
"""Cells per unit of the corner maps, so that their weights stay small."""


class DetectorNet(nn.Module):
    """(n, 1, h, w) normalised luma, h and w multiples of 32 -> (n, 10, h/8, w/8): two logits and 8 corner offsets."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.stem = conv(1, 16, stride=2)
        self.quartered = nn.Sequential(conv(16, 24, stride=2), conv(24, 24))
        self.eighths = nn.Sequential(conv(24, width, stride=2), conv(width, width))
        self.sixteenths = nn.Sequential(conv(width, 64, stride=2), conv(64, 64), conv(64, 64))
        self.coarse = nn.Sequential(conv(64, 96, stride=2), conv(96, 96), conv(96, 96), conv(96, 96))
        self.coarse_up = nn.Sequential(nn.Conv2d(96, 64, 1, bias=False), nn.BatchNorm2d(64))
        self.merge_sixteenth = conv(64, 64)
        self.sixteenth_up = nn.Sequential(nn.Conv2d(64, width, 1, bias=False), nn.BatchNorm2d(width))
        self.merge_eighth = conv(width, width)
        self.head = nn.Sequential(conv(width, 64), nn.Conv2d(64, 10, 1))
        nn.init.normal_(self.head[-1].weight, std=0.01)
        nn.init.zeros_(self.head[-1].bias)
        with torch.no_grad():
            self.head[-1].bias[0] = -4.0

    def forward(self, luma: Tensor) -> Tensor:
        eighth = self.eighths(self.quartered(self.stem(luma)))
        sixteenth = self.sixteenths(eighth)
        coarse = self.coarse_up(self.coarse(sixteenth))
        sixteenth = self.merge_sixteenth(torch.relu(sixteenth + nn.functional.interpolate(coarse, scale_factor=2.0)))
        fine = self.sixteenth_up(sixteenth)
        eighth = self.merge_eighth(torch.relu(eighth + nn.functional.interpolate(fine, scale_factor=2.0)))
        maps = self.head(eighth)
        return torch.cat([maps[:, :2], maps[:, 2:] * CORNER_SCALE], dim=1)


class DetectorForExport(nn.Module):
    """The same with probabilities instead of logits: what the engine runs."""

    def __init__(self, net: DetectorNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, luma: Tensor) -> Tensor:
        maps = self.net(luma)
        return torch.cat([torch.sigmoid(maps[:, :2]), maps[:, 2:]], dim=1)
