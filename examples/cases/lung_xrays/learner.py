"""What the three clinics train: a small convolutional network that tells pneumonia in an X-ray."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ExponentialLR
from torch.utils.data import TensorDataset
from xrays import DIAGNOSES, read

import hanse
from hanse.learners.torch import TorchLearner


class Standard(nn.Module):
    """Each image less its mean brightness, in units of its own standard deviation."""

    def forward(self, images: Tensor) -> Tensor:
        """Images, (batch, 1, height, width), and the same shape again."""
        deviation, mean = torch.std_mean(images, (1, 2, 3), keepdim=True)
        return (images - mean) / (deviation + 1e-3)


class Jitter(nn.Module):
    """In training, images of other exposures: moved by up to 2 pixels, brighter or darker."""

    def forward(self, images: Tensor) -> Tensor:
        """Images, (batch, 1, height, width), and the same shape again."""
        if not self.training:
            return images
        down, right = torch.randint(-2, 3, (2,)).tolist()
        gain, offset = torch.rand(2, len(images), 1, 1, 1)
        moved = images.roll((down, right), (2, 3))
        return moved * (0.8 + 0.4 * gain) + (0.2 * offset - 0.1)


def network() -> nn.Sequential:
    """The network: an X-ray, (batch, 1, 28, 28), to the logit of pneumonia, (batch, 1)."""
    layers: dict[str, nn.Module] = {"standard": Standard(), "jitter": Jitter()}
    before = 1
    for number, channels in enumerate((8, 16, 32), start=1):
        stride = 2 if number == 1 else 1
        layers |= {
            f"conv{number}": nn.Conv2d(before, channels, 3, stride=stride, padding=1, bias=False),
            f"norm{number}": nn.BatchNorm2d(channels),
            f"relu{number}": nn.ReLU(),
        }
        before = channels
        if number == 2:
            layers["shrink"] = nn.MaxPool2d(2)
    layers |= {"mean": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "head": nn.Linear(before, 1)}
    return nn.Sequential(OrderedDict(layers))


def probabilities(model: nn.Module, images: Tensor) -> Tensor:
    """The probability of pneumonia of each image, (number, 1)."""
    model.eval()
    with torch.inference_mode():
        return torch.cat([model(batch).sigmoid() for batch in images.split(256)])


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Part of the images that are told right at a probability of one half."""
    return ((logits > 0) == (labels > 0.5)).float().mean()


class XrayLearner(TorchLearner):
    """A `TorchLearner` whose evaluation also counts the held-out images by diagnosis and by score.

    The counts of all clinics add up, so that AUC and calibration are those of all their images together.
    """

    def __init__(self, train: TensorDataset, held_out: TensorDataset, options: Mapping[str, Any]) -> None:
        self.model, self.held_out, self._bins = network(), held_out, int(options["bins"])
        sick = train.tensors[1].mean()
        super().__init__(
            model=self.model,
            # Both diagnoses count alike, whatever the prevalence at the clinic.
            loss=nn.BCEWithLogitsLoss(pos_weight=(1 - sick) / sick),
            optimizer=partial(torch.optim.Adam, lr=float(options["lr"])),
            scheduler=partial(ExponentialLR, gamma=float(options["decay"])),
            train=train,
            validate=held_out,
            metrics={"accuracy": accuracy},
            device="cpu",
            channels_last=True,
            labels=DIAGNOSES,
        )

    def evaluate(self, parameters: Mapping[str, Any], task: hanse.Task) -> hanse.TaskResult:
        """Measure loss and accuracy on the held-out images, and count their scores."""
        result = super().evaluate(parameters, task)  # which has put the parameters into the model
        images, labels = self.held_out.tensors
        scores = hanse.binned_scores(probabilities(self.model, images), labels, self._bins)
        return hanse.TaskResult(result.num_examples, result.metrics, groups={"scores": scores})


def learner(site: hanse.Site) -> hanse.Learner:
    """The learner of a clinic; `held_out` in the plan says which images `evaluate` measures on."""
    folder = site.data["xrays"]
    train, held_out = read(folder, "train"), read(folder, str(site.options["held_out"]))
    return XrayLearner(train, held_out, site.options)
