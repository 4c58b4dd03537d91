"""HybridModel: a convolutional trunk over the sample covariance, and one head per prediction."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit.array import PlanarArray


@dataclass(frozen=True)
class ModelSize:
    """Channels of the three convolutions, features of the trunk, transformer layers over the patches, dropout."""

    channels: tuple[int, int, int]
    width: int
    layers: int
    dropout: float


SIZES = MappingProxyType(
    {
        "small": ModelSize(channels=(16, 32, 32), width=256, layers=0, dropout=0.0),  # 1.4 M parameters at 12 x 12
        "paper": ModelSize(channels=(48, 96, 192), width=512, layers=4, dropout=0.1),  # 11.4 M
    }
)


class Trunk(nn.Sequential):
    """Complex ``[B, N, N]`` as two real channels (re, im) -> features ``[B, width]``. Nothing of the input is discarded."""

    def __init__(self, n: int, size: ModelSize) -> None:
        c1, c2, c3 = size.channels
        side = ((((n - 1) // 4 + 1) - 1) // 2 + 1 - 1) // 2 + 1  # after strides 4, 2, 2 with "same"-like padding
        patches = Patches(c3, size.layers, size.dropout) if size.layers else nn.Flatten()
        super().__init__(
            nn.Conv2d(2, c1, kernel_size=7, stride=4, padding=3),
            nn.GELU(),
            nn.Conv2d(c1, c2, kernel_size=3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(c2, c3, kernel_size=3, stride=2, padding=1),
            nn.GELU(),
            patches,
            nn.Linear(c3 * side * side, size.width),
            nn.GELU(),
            nn.Dropout(size.dropout),
        )

    def forward(self, R: Tensor) -> Tensor:
        return super().forward(torch.view_as_real(R).permute(0, 3, 1, 2))


class Patches(nn.Module):
    """Self-attention between the patches of a feature map, ``[B, C, H, W] -> [B, H W C]``."""

    def __init__(self, channels: int, layers: int, dropout: float) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            channels, 4, 4 * channels, dropout, "gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x.flatten(2).mT).flatten(1)


class HybridModel(nn.Module):
    """Sample covariance in, covariance factors, source count and positions out.

    Args:
        array: the array; N elements.
        size: "small" (an epoch of 512 samples in about a second on 2 cores) or "paper".
        k_max: source slots K.

    Returns (forward): ``cov_fact_angle, cov_fact_range [B, 2 N K]`` interleaved re/im, ``k_logits [B, K]`` (class k means K = k + 1),
    ``phi_theta_r [B, 3 K]`` (rad, rad, m > 0).

    Raises:
        ValueError: unknown size; an input that is not complex ``[B, N, N]``: a real input would silently lose the phase.
    """

    def __init__(self, array: PlanarArray | None = None, size: str = "small", k_max: int = 5) -> None:
        super().__init__()
        if size not in SIZES:
            raise ValueError(f"size should be one of {', '.join(SIZES)}. Found size = {size!r}.")
        if not isinstance(k_max, int) or k_max < 1:
            raise ValueError(f"k_max should be an integer >= 1. Found k_max = {k_max!r}.")
        self.array, self.k_max = PlanarArray() if array is None else array, k_max
        width, factor = SIZES[size].width, 2 * self.array.n * k_max
        self.trunk = Trunk(self.array.n, SIZES[size])
        self.heads = nn.ModuleDict(
            {
                "cov_fact_angle": nn.Linear(width, factor),
                "cov_fact_range": nn.Linear(width, factor),
                "k_logits": nn.Linear(width, k_max),
                "phi_theta_r": nn.Linear(width, 3 * k_max),
            }
        )

    def forward(self, R_samp: Tensor) -> dict[str, Tensor]:
        N = self.array.n
        if not R_samp.is_complex() or R_samp.ndim != 3 or R_samp.shape[1:] != (N, N):
            raise ValueError(
                f"R_samp should be complex [B, {N}, {N}]. Found {R_samp.dtype} {list(R_samp.shape)}; "
                "use torch.view_as_complex on (re, im) pairs, and an array of the same size as the data's."
            )
        features = self.trunk(R_samp)
        prediction = {key: head(features) for key, head in self.heads.items()}
        angles, r = prediction["phi_theta_r"].split([2 * self.k_max, self.k_max], dim=-1)
        prediction["phi_theta_r"] = torch.cat([angles, F.softplus(r)], dim=-1)
        return prediction
