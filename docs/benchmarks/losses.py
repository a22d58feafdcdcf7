"""Time the losses beside NumPy expressions and torch, value and gradient together.

    python docs/benchmarks/losses.py

Writes losses.md into this folder. Needs torch (its CPU build is enough), which
``pip install -e .`` does not install. Nothing else should run meanwhile.

Each library has a turn in each of five rounds: the calls that fill 0.05 seconds, after
some to warm up; so threads that one leaves spinning do not slow the others. The time
is the median of all calls. torch does what a training step does: the loss in
single precision, and `backward`. It may use as many threads as the loss here.
"""

import numba
import numpy as np
from _common import Report, against, duration, full, in_turns, parser, shrunk

from skhuber import losses

try:
    import torch
except ImportError:
    torch = None


def huber(size):
    """Mean Huber loss of float32 arrays."""
    rng = np.random.default_rng(0)
    pred, label = rng.normal(size=(2, size)).astype(np.float32)
    rho = np.float32(0.7)
    loss = losses.HuberLoss(0.7, reduction="mean", form="unit_curvature")

    def ours():
        return loss.value_and_gradient(pred, label)

    def numpy():
        residual = pred - label
        clipped = np.clip(residual, -rho, rho)
        value = np.mean(clipped * (residual - np.float32(0.5) * clipped))
        return value, clipped / np.float32(size)

    runs = {"skhuber": ours, "NumPy": numpy}
    if torch is not None:
        their_pred = torch.from_numpy(pred.copy()).requires_grad_()
        their_label = torch.from_numpy(label.copy())
        their_loss = torch.nn.HuberLoss(delta=0.7)

        def theirs():
            their_pred.grad = None
            value = their_loss(their_pred, their_label)
            value.backward()
            return value.item(), their_pred.grad.numpy()

        runs["torch"] = theirs
    return runs


def ctc(utterances, frames, classes, labels):
    """Sum of the CTC losses of a batch."""
    rng = np.random.default_rng(0)
    pred = rng.normal(size=(utterances, frames, classes)).astype(np.float32)
    label = rng.integers(0, classes - 1, (utterances, labels))
    loss = losses.CTCLoss(reduction="sum")
    runs = {"skhuber": lambda: loss.value_and_gradient(pred, label)}
    if torch is not None:
        their_pred = torch.from_numpy(pred.copy()).requires_grad_()
        their_label = torch.from_numpy(label.copy())
        frames_of = torch.full((utterances,), frames)
        labels_of = torch.full((utterances,), labels)

        def theirs():
            their_pred.grad = None
            log_p = torch.nn.functional.log_softmax(their_pred, dim=2).transpose(0, 1)
            value = torch.nn.functional.ctc_loss(
                log_p, their_label, frames_of, labels_of,
                blank=classes - 1, reduction="sum",
            )  # fmt: skip
            value.backward()
            return value.item(), their_pred.grad.numpy()

        runs["torch"] = theirs
    return runs


PROBLEMS = {
    "HuberLoss, 10,000,000 float32": lambda size: huber(size(10_000_000)),
    "HuberLoss, 100,000 float32": lambda size: huber(size(100_000)),
    "CTCLoss, 64 × 200 frames × 50 classes, 30 labels": lambda size: ctc(
        size(64), 200, 50, 30
    ),
}


def measured(runs):
    """Return the seconds of each library, after a look at whether they agree."""
    timings = in_turns(runs)
    value, gradient = timings["skhuber"].result
    for timing in timings.values():
        # torch computes in float32, which costs its CTC gradient three digits.
        np.testing.assert_allclose(timing.result[0], value, rtol=1e-4)
        np.testing.assert_allclose(timing.result[1], gradient, atol=2e-3)
    return {name: timing.seconds for name, timing in timings.items()}


def main():
    options = parser(__doc__).parse_args()
    size = shrunk if options.quick else full
    if torch is not None:
        torch.set_num_threads(numba.get_num_threads())
    report = Report("Time of a loss and its gradient", "losses", "torch")
    peers = ("NumPy", "torch")
    report.table("loss", "skhuber", *peers, *(f"{peer} against it" for peer in peers))
    for title, problem in PROBLEMS.items():
        times = measured(problem(size))
        ours = times["skhuber"]
        report.row(
            title,
            duration(ours),
            *(duration(times[peer]) if peer in times else "" for peer in peers),
            *(against(times[peer], ours) if peer in times else "" for peer in peers),
        )
    if not options.quick:
        report.save("losses.md")


if __name__ == "__main__":
    main()
