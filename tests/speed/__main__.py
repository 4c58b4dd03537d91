"""How much faster is the batched product than the per-sample reference, for the same result?

    python -m tests.speed [--rounds 9] [--samples 64 512] [--threads 1]

Both ways run once in every round, in random order; the ratio is taken within the round, so a busy machine slows
both. What is printed is the median of those ratios with its quartiles. Before anything is timed, both ways must compute
the same thing. One thread unless asked otherwise: with as many threads as cores, anything else on the machine is timed
as well. Then come the cost of kit.watch, see ``tests.speed.watching``, and the sliders, see ``tests.speed.sliders``.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from kit.array import PlanarArray
from kit.covariance import CovarianceSampler
from kit.loss import UltimateHybridLoss
from tests.reference.loss import components, random_prediction, random_target, total
from tests.reference.scenes import Geometry, sample_scenes
from tests.speed import sliders, watching

BATCH = 64
WEIGHTS = {  # all seven terms switched on
    "loss_nmse": 1.0,
    "loss_nmse_pred": 0.05,
    "loss_ortho": 1e-3,
    "loss_K": 0.5,
    "aux_l2": 1.0,
    "loss_subspace_align": 0.05,
    "loss_peak_contrast": 0.1,
}


@dataclass(frozen=True)
class Contest:
    """Two ways to the same thing."""

    title: str
    product: Callable[[], object]
    reference: Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Seconds per round of each way, and the ratio reference / product within each round."""

    product: tuple[float, ...]
    reference: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        return [slow / fast for slow, fast in zip(self.reference, self.product, strict=True)]


def loss_contest() -> Contest:
    """Forward and backward of the weighted sum, B = 64, N = 144, float32."""
    generator = torch.Generator().manual_seed(80)
    prediction = random_prediction(BATCH, generator, dtype=torch.float32)
    target = random_target(BATCH, generator, dtype=torch.float32)
    loss = UltimateHybridLoss()
    for term, name in loss.weight_names.items():
        setattr(loss, name, WEIGHTS[term])

    def differentiate(value: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return value.detach(), torch.autograd.grad(value, list(prediction.values()))

    def product() -> tuple[Tensor, tuple[Tensor, ...]]:
        return differentiate(loss(prediction, target))

    def reference() -> tuple[Tensor, tuple[Tensor, ...]]:
        return differentiate(total(components(prediction, target), WEIGHTS))

    (ours, our_gradients), (theirs, their_gradients) = product(), reference()
    assert torch.isclose(ours, theirs, rtol=1e-4, atol=0), f"product {ours.item()}, reference {theirs.item()}"
    for key, one, other in zip(prediction, our_gradients, their_gradients, strict=True):
        # the peak term's E is conditioned like 1e5: the reference, all in single precision, is off by about 1e-3 itself
        assert (one - other).norm() <= 1e-2 * other.norm(), f"gradients differ for {key}"
    with torch.no_grad():
        both = loss.eval().components(prediction, target), components(prediction, target)
    for term in WEIGHTS:  # each on its own: in the sum the largest would hide the others
        assert torch.isclose(both[0][term], both[1][term], rtol=1e-4, atol=2e-6), (
            f"{term}: {both[0][term]}, {both[1][term]}"
        )
    loss.train()
    return Contest(f"loss, 7 terms, forward + backward, B = {BATCH}", product, reference)


def sampler_contest(samples: int) -> Contest:
    """Drawing scenes with both covariances, N = 144, float32."""
    sampler, geometry = CovarianceSampler(PlanarArray()), Geometry()
    generators = [torch.Generator().manual_seed(seed) for seed in (81, 82)]

    def product() -> dict[str, Tensor]:
        batch = sampler.sample(samples, generator=generators[0])
        return {"R_samp": batch.R_samp, **batch.target}

    def reference() -> dict[str, Tensor]:
        return sample_scenes(samples, geometry, generators[1])

    ours, theirs = product(), reference()
    assert ours.keys() == theirs.keys()
    for key in ours:
        assert ours[key].shape == theirs[key].shape, key
        assert ours[key].dtype == theirs[key].dtype, key

    def spread_of(scenes: dict[str, Tensor]) -> Tensor:
        """Rows: energy of each covariance, K, SNR; one column per scene."""
        energies = [torch.linalg.matrix_norm(scenes[key]) ** 2 / 144**2 for key in ("R_samp", "R_true")]
        return torch.stack([*energies, scenes["K"].float(), scenes["snr_db"]])

    one, other = spread_of(ours), spread_of(theirs)
    error = ((one.var(1) + other.var(1)) / samples).sqrt()
    assert ((one.mean(1) - other.mean(1)).abs() < 5 * error).all(), "the two generators do not follow the same law"
    return Contest(f"CovarianceSampler.sample({samples})", product, reference)


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compete(contest: Contest, rounds: int, order: random.Random) -> Timing:
    """Both ways once per round, in random order, after the warm-up that the comparison was."""
    times: dict[str, list[float]] = {"product": [], "reference": []}
    for _ in range(rounds):
        for way in order.sample(list(times), k=2):
            times[way].append(seconds(getattr(contest, way)))
    return Timing(tuple(times["product"]), tuple(times["reference"]))


def line(title: str, timing: Timing) -> str:
    low, middle, high = statistics.quantiles(timing.ratios, n=4)
    fast, slow = statistics.median(timing.product), statistics.median(timing.reference)
    spread = f"{low:.1f} .. {high:.1f}"
    return f"{title:<48}{1e3 * fast:>10.1f}{1e3 * slow:>12.1f}{middle:>9.1f}x   {spread}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.speed", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--samples", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error(f"--rounds should be >= 2, for a spread. Found --rounds {options.rounds}.")
    torch.set_num_threads(options.threads)
    threads = torch.get_num_threads()
    print(f"torch {torch.__version__}, {threads} thread(s), {options.rounds} paired rounds, N = 144, float32")
    print(f"{'':<48}{'kit / ms':>10}{'loop / ms':>12}{'ratio':>10}   quartiles")
    order = random.Random(83)
    for make in (loss_contest, *(partial(sampler_contest, samples) for samples in options.samples)):
        contest = make()
        print(line(contest.title, compete(contest, options.rounds, order)), flush=True)
    watching.report(options.rounds, order)
    sliders.report()


if __name__ == "__main__":
    main()
