"""The reader's network: grey plate in, one distribution over 36 characters and 'none' per position out, and a judgement
whether there is anything to read.

A short stack of conv + ReLU (so that it quantises) keeps 4 px per column; a global summary tells every place what
layout the plate has (one line or two, how many characters); each position attends to its own place and sees its
neighbours once before it decides. The judgement sees the whole plate, so that a blurred, cut or foreign one is told
from a readable one by more than its characters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SLOTS = 10
CLASSES = 37
STATES = ("readable", "blurred", "cut", "foreign", "none")
"""What the judgement tells apart."""
HEIGHT, WIDTH = 64, 128


def conv(channels_in: int, channels_out: int, *, stride: int | tuple[int, int] = 1) -> nn.Sequential:
    """3x3 convolution, batch norm (folded at export), ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class ReaderNet(nn.Module):
    """(n, 1, 64, 128) standardised luma -> logits (n, 10, 37) and judgement (n, 4), both before softmax."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.early = nn.Sequential(
            conv(1, 24, stride=2),
            conv(24, 32),
            conv(32, 64, stride=2),
            conv(64, 64),
            conv(64, 96, stride=(2, 1)),
            conv(96, 96),
        )
        self.position = nn.Parameter(torch.zeros(1, 96, HEIGHT // 8, WIDTH // 4))
        self.summary = nn.Sequential(nn.Linear(96 * 4, 96), nn.ReLU(inplace=True), nn.Linear(96, 96))
        self.squeeze = nn.AvgPool2d((HEIGHT // 16, WIDTH // 8))
        self.late = nn.Sequential(conv(96, width), conv(width, width))
        self.attention = nn.Conv2d(width, SLOTS, 1)
        self.neighbours = nn.Conv1d(width, width, 3, padding=1)
        self.slot_bias = nn.Parameter(torch.zeros(1, width, SLOTS))
        self.classify = nn.Linear(width, CLASSES)
        self.judge = nn.Sequential(nn.Linear(96 * 4 + width, 64), nn.ReLU(inplace=True), nn.Linear(64, len(STATES)))
        self.drop = nn.Dropout(0.1)
        nn.init.normal_(self.position, std=0.1)

    def forward(self, luma: Tensor) -> tuple[Tensor, Tensor]:
        features = self.early(luma)
        squeezed = self.squeeze(features).flatten(1)
        summary = self.summary(squeezed)
        features = self.late(features + self.position + summary[:, :, None, None])
        attention = self.attention(features).flatten(2).softmax(dim=2)
        slots = torch.bmm(attention, features.flatten(2).transpose(1, 2)).transpose(1, 2)
        slots = slots + torch.relu(self.neighbours(slots) + self.slot_bias)
        judgement = self.judge(torch.cat([squeezed, features.mean((2, 3))], dim=1))
        return self.classify(self.drop(slots).transpose(1, 2)), judgement
