"""The detector's network: grey picture in, maps at an eighth of its size out.

Ten maps: the chance that a plate's centre lies in the cell, the chance that the plate has two lines, and the 4 corners
relative to the cell's centre, in cells. Conv + ReLU only, down to 1/32 so that a cell sees a whole car's face, and
back up by repeating pixels (after Zhou et al. 2019, "Objects as Points", with corners instead of a box).

It is made for processors with int8 dot products. Blocks of 4 x 4 pixels are the channels of the first layer: on
single grey pixels it would cost more than all the layers after it. The last layer answers for 2 x 2 cells at once, so
that nothing has to be computed at an eighth of the size on the way up.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anpr.ops.contract import BLOCK_PX
from scripts.train.reader_net import conv

STRIDE = 8
HEIGHT, WIDTH = 384, 640
CORNER_SCALE = 4.0
"""Cells per unit of the corner maps, so that their weights stay small."""
MAPS = 10


class DetectorNet(nn.Module):
    """(n, 1, h, w) normalised luma, h and w multiples of 32 -> (n, 10, h/8, w/8): two logits and 8 corner offsets."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.PixelUnshuffle(BLOCK_PX)
        self.stem = conv(BLOCK_PX**2, 32)
        self.eighths = nn.Sequential(conv(32, 48, stride=2), conv(48, 48), conv(48, 48))
        self.sixteenths = nn.Sequential(conv(48, 64, stride=2), conv(64, 64), conv(64, 64))
        self.coarse = nn.Sequential(conv(64, 96, stride=2), conv(96, 96), conv(96, 96), conv(96, 96))
        self.coarse_up = nn.Sequential(nn.Conv2d(96, 64, 1, bias=False), nn.BatchNorm2d(64))
        self.merge = nn.Sequential(conv(64, 64), conv(64, 64))
        self.head = nn.Sequential(conv(64, 96), nn.Conv2d(96, 4 * MAPS, 1))
        self.cells = nn.PixelShuffle(2)
        nn.init.normal_(self.head[-1].weight, std=0.01)
        nn.init.zeros_(self.head[-1].bias)
        with torch.no_grad():
            self.head[-1].bias[:4] = -4.0

    def forward(self, luma: Tensor) -> Tensor:
        return self.look(self.blocks(luma))

    def look(self, blocks: Tensor) -> Tensor:
        """(n, 16, h/4, w/4) pixels of blocks, row by row -> the maps."""
        sixteenth = self.sixteenths(self.eighths(self.stem(blocks)))
        coarse = self.coarse_up(self.coarse(sixteenth))
        merged = self.merge(torch.relu(sixteenth + nn.functional.interpolate(coarse, scale_factor=2.0)))
        maps = self.cells(self.head(merged))
        return torch.cat([maps[:, :2], maps[:, 2:] * CORNER_SCALE], dim=1)


class DetectorForExport(nn.Module):
    """What the engine runs: probabilities instead of logits out of (n, h/4, w/4, 16) bytes, or of a plane as above."""

    def __init__(self, net: DetectorNet, *, blocks: bool, mean: float, scale: float) -> None:
        super().__init__()
        self.net, self.blocks, self.mean, self.scale = net, blocks, mean, scale

    def forward(self, luma: Tensor) -> Tensor:
        if self.blocks:
            levels = luma.permute(0, 3, 1, 2).to(torch.float32)
            maps = self.net.look((levels - self.mean) * self.scale)
        else:
            maps = self.net(luma)
        return torch.cat([torch.sigmoid(maps[:, :2]), maps[:, 2:]], dim=1)
