"""A small 3D U-Net, its loss, and Dice by region; run as a program, it writes the first model of a run."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits


def _convolution(before: int, after: int, stride: int = 1) -> nn.Sequential:
    # Group normalisation: it has no running statistics of one site's scanner that would be averaged.
    return nn.Sequential(
        nn.Conv3d(before, after, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(4, after),
        nn.LeakyReLU(0.01),
    )


class UNet(nn.Module):
    """Scores of three regions from four modalities: two steps down, two up.

    What comes up is added to what went down at that resolution, which takes half of the arithmetic of
    laying both side by side.

    Args:
        width: Channels at full resolution, a multiple of 4; twice and four times as many below.
    """

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.top = _convolution(4, width)
        self.middle = nn.Sequential(
            _convolution(width, 2 * width, stride=2), _convolution(2 * width, 2 * width)
        )
        self.bottom = nn.Sequential(
            _convolution(2 * width, 4 * width, stride=2), _convolution(4 * width, 4 * width)
        )
        self.up_middle = nn.ConvTranspose3d(4 * width, 2 * width, 2, stride=2)
        self.join_middle = _convolution(2 * width, 2 * width)
        self.up_top = nn.ConvTranspose3d(2 * width, width, 2, stride=2)
        self.join_top = _convolution(width, width)
        self.head = nn.Conv3d(width, 3, 1)
        # Most voxels are in no region: beginning there saves the steps that would learn only this.
        nn.init.constant_(self.head.bias, -3.0)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of whole tumour, tumour core and enhancing tumour.

        Args:
            image: Shape (batch, 4, x, y, z); x, y and z are multiples of 4.

        Returns:
            Shape (batch, 3, x, y, z).
        """
        top = self.top(image)
        middle = self.middle(top)
        middle = self.join_middle(middle + self.up_middle(self.bottom(middle)))
        return self.head(self.join_top(top + self.up_top(middle)))


def dice_and_entropy(logits: Tensor, regions: Tensor) -> Tensor:
    """Mean over the regions of 1 - soft Dice of the batch, and of the cross-entropy; above 0, in nats."""
    within = (0, 2, 3, 4)
    shown = torch.sigmoid(logits)
    both = (shown * regions).sum(within)
    # 1 voxel on both sides: a batch without the region has the right answer "nowhere".
    dice = (2 * both + 1) / (shown.sum(within) + regions.sum(within) + 1)
    return (1 - dice).mean() + binary_cross_entropy_with_logits(logits, regions)


def dice(logits: Tensor, regions: Tensor, region: int) -> float | None:
    """Dice of one region, 0 to 1: the mean over the patients of the batch who have the region.

    None where no patient of the batch has it: of an empty region Dice is not defined, and neither 0 nor 1
    would be true.

    Args:
        logits: Shape (batch, regions, x, y, z).
        regions: The same shape, 0 and 1.
        region: Which of them.
    """
    found, there = logits[:, region].flatten(1) > 0, regions[:, region].flatten(1) > 0.5
    size = there.sum(1)
    if not bool((size > 0).any()):
        return None
    each = 2 * (found & there).sum(1) / (found.sum(1) + size).clamp(min=1)
    return float(each[size > 0].double().mean())


def first_model(seed: int = 1, width: int = 8) -> dict[str, Tensor]:
    """Parameters of a new network, the same for the same seed and release of torch."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return dict(UNet(width).state_dict())


if __name__ == "__main__":
    from safetensors.torch import save_file

    if len(sys.argv) != 2:
        raise SystemExit("usage: python unet.py start.safetensors")
    save_file(first_model(), Path(sys.argv[1]))
