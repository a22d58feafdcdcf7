"""Losses against the numbers of the systems whose documents they come from.

`tests/data/losses.npz` holds inputs, outputs and gradients of MXNet Gluon, torch,
Paddle and lucid, as they were run (see `tests/data/README.md`). Where those err or
differ, `skhuber.losses` decides; each such decision stands here with its reason, and
is tested in place of the number.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from skhuber import losses

DATA = Path(__file__).parent / "data" / "losses.npz"

# Relative to 1 + |reference|.
VALUE_TOLERANCE = {"f4": 3e-6, "f8": 1e-12}
GRADIENT_TOLERANCE = {"f4": 2e-5, "f8": 1e-12}


def load_cases():
    with np.load(DATA) as file:
        buffers = {name: file[name] for name in file.files}
    cases = json.loads(buffers.pop("manifest").tobytes())

    def array(reference):
        if reference is None:
            return None
        kind, offset, shape = reference
        size = int(np.prod(shape, dtype=int))
        return buffers[kind][offset : offset + size].reshape(shape)

    for case in cases:
        case["system"] = case["id"].split("/")[0]
        case["inputs"] = {k: array(v) for k, v in case["inputs"].items()}
        case["head"] = array(case["head"])
        case["value"] = array(case["value"])
        case["gradients"] = {
            name: array(reference)
            for name, reference in (case["gradients"] or {}).items()
            if reference is not None
        }
        case["params"] = {
            k: float(v) if v in ("inf", "nan") else v for k, v in case["params"].items()
        }
    return cases


CASES = load_cases()


# --- refused --------------------------------------------------------------------------


def labels_of(case):
    return case["inputs"].get("label")


def weighs_entries(case):
    """Gluon lays weights of shape (N,) along the wrong axis of these two losses."""
    return (
        case["loss"] in ("SoftmaxCrossEntropyLoss", "CosineEmbeddingLoss")
        and case["inputs"]["sample_weight"].shape == case["value"].shape[:1]
    )


def is_refused(case):
    """Why the library refuses what the system computes; None if it does not."""
    tags, params, name = case["tags"], case["params"], case["loss"]
    if "sw-grows" in tags and not weighs_entries(case):
        return "a weight that makes the loss larger"
    if "pos-weight-grows" in tags:
        return "a weight that makes the loss larger"
    if "broadcast" in tags:
        return "arguments of different sizes"
    knee = params.get("rho", params.get("beta", params.get("delta", 1.0)))
    if not knee > 0:
        return "a threshold that is none"
    if params.get("smoothing_parameter", 0) >= 1:
        return "a share of 1 or more"
    if "empty" in tags and reduction_of(case) == "mean":
        return "the mean of nothing"
    label = labels_of(case)
    if case["system"] in ("torch", "paddle", "lucid") or label is None:
        return None
    signed = params.get("label_format") != "binary"
    if name in ("HingeLoss", "SquaredHingeLoss", "CosineEmbeddingLoss") or (
        name == "LogisticLoss" and signed
    ):
        return None if np.all(np.abs(label) == 1) else "labels that are not ±1"
    if name == "LogisticLoss":
        return None if np.isin(label, [0, 1]).all() else "labels that are not 0 or 1"
    if name in ("SigmoidBinaryCrossEntropyLoss", "KLDivLoss"):
        shares = (
            [label, case["inputs"]["pred"]] if params.get("from_sigmoid") else ([label])
        )
        within = all(((a >= 0) & (a <= 1)).all() for a in shares)
        return None if within else "probabilities that are none"
    if name == "SoftmaxCrossEntropyLoss" and params.get("sparse_label", True):
        n = case["inputs"]["pred"].shape[params.get("axis", -1)]
        within = np.isin(label, np.arange(n)).all()
        return None if within else "classes that there are not"
    if name == "SoftmaxCrossEntropyLoss":
        within = ((label >= 0) & (label <= 1)).all()
        return None if within else "probabilities that are none"
    return None


# --- translated -----------------------------------------------------------------------


def reduction_of(case):
    params = case["params"]
    if case["system"] in ("torch", "paddle", "lucid"):
        if params.get("reduce") is not None or params.get("size_average") is not None:
            if params.get("reduce") is False:
                return "none"
            return "sum" if params.get("size_average") is False else "mean"
        return params.get("reduction", "mean") or "none"
    return "mean" if case["loss"] == "PoissonNLLLoss" else "batch"


def loss_of(case):
    """The loss here that is meant there."""
    params, name, system = dict(case["params"]), case["loss"], case["system"]
    reduction = reduction_of(case)
    if system in ("torch", "paddle", "lucid"):
        knee = params.get("beta", params.get("delta", 1.0))
        if system == "paddle":
            knee = float(np.float32(knee))  # as Paddle keeps it
        unit_slope = params.get("is_huber") is False or (
            system == "torch" and name == "SmoothL1Loss"
        )
        if system == "paddle" and unit_slope:  # divided by what was passed
            weight = 1.0 / (params.get("delta") or 1.0)
            return losses.HuberLoss(
                knee, weight, reduction=reduction, form="unit_curvature"
            )
        form = "unit_slope" if unit_slope else "unit_curvature"
        return losses.HuberLoss(knee, reduction=reduction, form=form)
    if name == "CosineEmbeddingLoss":
        reduction = "none"  # as there: one term for each pair
    return getattr(losses, name)(**params, reduction=reduction)


ARGUMENTS = {"input": "pred", "target": "label", "weight": "sample_weight"}


def arguments_of(case):
    inputs = dict(case["inputs"])
    if case["system"] in ("torch", "paddle", "lucid"):
        inputs = {ARGUMENTS.get(k, k): v for k, v in inputs.items()}
    if case["system"] == "lucid":  # computes in float32, whatever it gets
        inputs = {k: v.astype(np.float32) for k, v in inputs.items()}
    if case["loss"] == "CosineEmbeddingLoss" and "sample_weight" in inputs:
        # The pairs of inputs of three axes are a table here, a list there.
        shape = inputs["input2"].shape
        if len(shape) > 2:
            inputs["sample_weight"] = inputs["sample_weight"].reshape(*shape[:-1], 1)
    return inputs


def factor_of(case, loss):
    """What the system's loss is larger by."""
    if case["system"] == "gluon" and case["loss"] == "KLDivLoss":
        # The mean, as documented and as up to MXNet 1.8; 1.9 takes the sum.
        shape = list(case["inputs"]["pred"].shape)
        shape.pop(loss.batch_axis)
        return float(np.prod(shape))
    if "weight-ignored" in case["tags"]:
        return 1.0 / (loss.weight or 1.0)
    return 1.0


def is_compared(case, name):
    """Elements of a gradient that are not decided otherwise."""
    inputs, gradient = case["inputs"], case["gradients"][name]
    compared = np.ones(gradient.shape, bool)
    if "pred-zero" in case["tags"] and name == "pred":
        # Gluon's gradient at a logit of exactly 0 is wrong.
        compared &= inputs["pred"] != 0
    if "zero-vector" in case["tags"] or case["loss"] == "CosineEmbeddingLoss":
        compared &= ~np.isnan(gradient)  # zero there; tested on its own
    if "nonfinite" in case["tags"]:
        # NaN stays NaN here, and an infinite residual has the loss's slope.
        shape = gradient.shape
        shared = [a.reshape(shape) for a in inputs.values() if a.size == gradient.size]
        compared &= np.isfinite(shared).all(axis=0)
        if len(shared) == 2:
            with np.errstate(all="ignore"):
                compared &= np.isfinite(np.subtract(*shared))
        elif case["loss"] == "TripletLoss":
            compared &= np.isfinite(case["value"])[:, np.newaxis]
            compared &= compared.all(axis=1, keepdims=True)
        else:
            compared &= np.isfinite(gradient)
    return compared


def error(ours, reference):
    """Greatest |difference| / (1 + |reference|); equal infinities and NaN are none."""
    ours = np.asarray(ours, dtype=np.float64).reshape(reference.shape)
    reference = reference.astype(np.float64)
    with np.errstate(all="ignore"):
        errors = np.abs(ours - reference) / (1.0 + np.abs(reference))
    same = (ours == reference) | (np.isnan(ours) & np.isnan(reference))
    return float(np.max(np.where(same, 0.0, errors), initial=0.0))


def check(case):
    """What is wrong with a case, or None."""
    kind = "f4" if case["system"] == "lucid" else case["value"].dtype.str[1:]
    arguments = arguments_of(case)
    if is_refused(case):
        with pytest.raises(ValueError, match=r"must|not defined"):
            loss_of(case)(**arguments)
        return None
    loss = loss_of(case)
    value = np.asarray(loss(**arguments))
    dtype = np.float32 if kind == "f4" else np.float64
    assert value.dtype == dtype
    factor = factor_of(case, loss)
    if "sw-grows" in case["tags"]:
        weight = arguments.pop("sample_weight")
        np.testing.assert_allclose(value, weight * loss(**arguments), rtol=1e-6)
        return None
    if "infeasible" in case["tags"]:
        # Gluon: zero, and a gradient that nobody has written.
        wrong = case["value"] == 0
        assert np.isinf(value[wrong]).all()
        assert not np.any(loss.gradient(**arguments)[wrong])
        return None
    if "zero-target-nan" in case["tags"]:
        assert np.isfinite(value)
        return None
    if "weight-ignored" in case["tags"] and loss.batch_axis == 1:
        flipped = {name: array.T for name, array in arguments.items()}
        plain = losses.SDMLLoss(loss.smoothing_parameter, weight=loss.weight)
        np.testing.assert_array_equal(value, plain(**flipped))
        return None
    reference = case["value"]
    if "nonfinite" in case["tags"] and case["loss"] in (
        "LogisticLoss", "SigmoidBinaryCrossEntropyLoss",
    ):  # fmt: skip
        # An infinite logit has a loss of zero or infinity, not NaN.
        nan = np.isnan(reference) & ~np.isnan(arguments["pred"]).any(
            axis=tuple(range(1, arguments["pred"].ndim))
        )
        assert np.isin(value[nan], [0.0, np.inf]).any() or not nan.any()
        reference = np.where(nan, value, reference)
    if case["system"] == "lucid" and np.isinf(getattr(loss, "rho", 1.0)):
        # NaN there; without a knee the loss is that of squares.
        squares = losses.L2Loss(reduction=loss.reduction)
        np.testing.assert_array_equal(value, squares(**arguments))
        return None
    worst = error(factor * value, reference)
    if worst > VALUE_TOLERANCE[kind]:
        return case["id"], case["tags"], "value", worst
    head = case["head"]
    if head is not None:
        head = head.reshape(value.shape)
    # lucid's gradients have errors of float32, relative to delta.
    unit = max(1.0, getattr(loss, "rho", 1.0)) if case["system"] == "lucid" else 1.0
    for name, reference in case["gradients"].items():
        wrt = name
        if case["system"] in ("torch", "paddle", "lucid"):
            wrt = ARGUMENTS.get(name, name)
        ours = loss.gradient(**arguments, wrt=wrt, head=head)
        assert ours.dtype == dtype
        both, ours_too = loss.value_and_gradient(**arguments, wrt=wrt, head=head)
        np.testing.assert_array_equal(ours_too, ours)
        np.testing.assert_array_equal(both, value)
        compared = is_compared(case, name)
        ours = factor * ours.reshape(reference.shape)
        worst = error(ours[compared] / unit, reference[compared] / unit)
        if worst > GRADIENT_TOLERANCE[kind]:
            return case["id"], case["tags"], name, worst
    return None


GROUPS = sorted({(case["system"], case["loss"]) for case in CASES})


@pytest.mark.parametrize(("system", "name"), GROUPS)
def test_golden(system, name):
    group = [c for c in CASES if (c["system"], c["loss"]) == (system, name)]
    assert group
    with np.errstate(over="ignore"):  # casts of the references, not of the results
        wrong = [w for w in map(check, group) if w is not None]
    assert wrong == []
    # Decisions are exceptions: most of what a system computes is compared.
    refused = sum(is_refused(case) is not None for case in group)
    assert refused < 0.35 * len(group)
