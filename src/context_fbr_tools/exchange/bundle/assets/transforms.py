"""Transforms of this bundle that MONAI has not, see docs/README.md. Needs MONAI and PyTorch alone."""

from collections.abc import Hashable, Mapping, Sequence

import torch
from monai.transforms import MapTransform

MEAN, DEVIATION = "tissue_mean", "tissue_deviation"


class ScaleChannelsd(MapTransform):
    """Scale the intensities of each channel from its own window to 0 to 1, others are clipped."""

    def __init__(self, keys: str, windows: Sequence[Sequence[float]]) -> None:
        """Take [low, high] of each channel."""
        super().__init__(keys)
        self.windows = windows

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, object]:
        """Return the data with the image scaled."""
        image = data["image"].clone()
        for number, (low, high) in enumerate(self.windows):
            image[number] = ((image[number] - low) / (high - low)).clamp(0, 1)
        return {**data, "image": image}


class MeasureTissued(MapTransform):
    """Keep mean and standard deviation of the voxels above 0 of each channel, before any resampling."""

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, object]:
        """Return the data with both."""
        image = torch.as_tensor(data["image"])
        tissue = [own[own > 0].double() for own in image]
        return {
            **data,
            MEAN: [float(own.mean()) for own in tissue],
            DEVIATION: [float(own.std(correction=0)) for own in tissue],
        }


class StandardiseTissued(MapTransform):
    """Subtract the mean and divide by the standard deviation of each channel, padding as 0."""

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, object]:
        """Return the data with the image standardised."""
        image = data["image"].clone()
        for number, (mean, deviation) in enumerate(zip(data[MEAN], data[DEVIATION], strict=True)):
            image[number] = (image[number] - mean) / deviation
        others = {key: value for key, value in data.items() if key not in (MEAN, DEVIATION)}
        return {**others, "image": image}


class LabelValuesd(MapTransform):
    """Turn interpolated masks of classes into label values on the grid of the image.

    A voxel is foreground where the masks of the classes are one half together, and has the label value of the
    class whose mask is greatest; what was cropped off has no mask.
    """

    def __init__(self, keys: str, values: Sequence[int]) -> None:
        """Take the label value of each class but the background."""
        super().__init__(keys)
        self.values = torch.tensor([0, *values], dtype=torch.uint8)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, object]:
        """Return the data with label values (1, x, y, z)."""
        masks = data["pred"]
        classes = 1 + masks[1:].argmax(dim=0, keepdim=True)
        classes[masks[1:].sum(dim=0, keepdim=True) < 0.5] = 0
        values = self.values.to(masks.device)[torch.as_tensor(classes)]
        result = masks[:1].clone()
        result[:] = values.to(result.dtype)
        return {**data, "pred": result}
