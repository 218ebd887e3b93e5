"""What the three clinics train: a small convolutional network that tells pneumonia in an X-ray."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from xrays import DIAGNOSES, read

import hanse
from hanse.learners.torch import TorchLearner

Arrays = Mapping[str, object]


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
    layers: dict[str, nn.Module] = {"jitter": Jitter()}
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

    def __init__(self, train: TensorDataset, held_out: TensorDataset, bins: int) -> None:
        self.model, self.held_out, self._bins = network(), held_out, bins
        super().__init__(
            model=self.model,
            loss=nn.BCEWithLogitsLoss(),
            optimizer=partial(torch.optim.Adam, lr=1e-3),
            train=train,
            validate=held_out,
            metrics={"accuracy": accuracy},
            device="cpu",
            labels=DIAGNOSES,
        )

    def evaluate(self, parameters: Arrays, task: hanse.Task) -> hanse.TaskResult:
        """Measure loss and accuracy on the held-out images, and count their scores."""
        result = super().evaluate(parameters, task)  # which has put the parameters into the model
        images, labels = self.held_out.tensors
        scores = hanse.binned_scores(probabilities(self.model, images), labels, self._bins)
        return hanse.TaskResult(result.num_examples, result.metrics, groups={"scores": scores})


def learner(site: hanse.Site) -> hanse.Learner:
    """The learner of a clinic; `held_out` in the plan says which images `evaluate` measures on."""
    folder = site.data["xrays"]
    held_out = str(site.options["held_out"])
    return XrayLearner(read(folder, "train"), read(folder, held_out), int(site.options["bins"]))
