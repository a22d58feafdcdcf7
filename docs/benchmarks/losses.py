"""Time the losses beside NumPy expressions and torch, value and gradient together.

    python docs/benchmarks/losses.py

Writes losses.md into this folder. Needs torch (its CPU build is enough), which
``pip install -e .`` does not install. Nothing else should run meanwhile.

Each library is run in blocks of 15 calls after 5 to warm up, the blocks of the
libraries in turn; so threads that one leaves spinning do not slow the others. The time
is the median of all calls. torch does what a training step does: the loss in
single precision, and `backward`. It may use as many threads as the loss here.
"""

import importlib.metadata
import platform
import statistics
import time
from pathlib import Path

import numba
import numpy as np

from skhuber import losses

try:
    import torch
except ImportError:
    torch = None

HERE = Path(__file__).parent
BLOCKS = 3
WARM_UP = 5
CALLS = 15


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
    "HuberLoss, 10,000,000 float32": lambda: huber(10_000_000),
    "HuberLoss, 100,000 float32": lambda: huber(100_000),
    "CTCLoss, 64 × 200 frames × 50 classes, 30 labels": lambda: ctc(64, 200, 50, 30),
}


def measured(runs):
    """Median seconds of each, after a look at whether they agree."""
    results = {name: run() for name, run in runs.items()}
    for value, gradient in results.values():
        # torch computes in float32, which costs its CTC gradient three digits.
        np.testing.assert_allclose(value, results["skhuber"][0], rtol=1e-4)
        np.testing.assert_allclose(gradient, results["skhuber"][1], atol=2e-3)
    times = {name: [] for name in runs}
    for _ in range(BLOCKS):
        for name, run in runs.items():
            for _ in range(WARM_UP):
                run()
            for _ in range(CALLS):
                start = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def main():
    versions = [f"Python {platform.python_version()}"]
    versions += [
        f"{name} {importlib.metadata.version(name)}"
        for name in ["skhuber", "numpy", "numba", *(["torch"] if torch else [])]
    ]
    lines = [
        "# Time of a loss and its gradient",
        "",
        "By `python docs/benchmarks/losses.py`, which says how.",
        "",
        f"{', '.join(versions)}; {numba.get_num_threads()} threads.",
        "",
        "| | skhuber | NumPy | torch | NumPy over skhuber | torch over skhuber |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    if torch is not None:
        torch.set_num_threads(numba.get_num_threads())
    for title, problem in PROBLEMS.items():
        times = measured(problem())
        cells = [
            f"{1e3 * times[name]:.2f} ms" if name in times else ""
            for name in ("skhuber", "NumPy", "torch")
        ]
        cells += [
            f"{times[name] / times['skhuber']:.1f}" if name in times else ""
            for name in ("NumPy", "torch")
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    (HERE / "losses.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
