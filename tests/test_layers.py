"""Who may import whom: data go down the layers once, sums come up once."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import skhuber

PACKAGE = Path(skhuber.__file__).parent

# What a module may import of this package (at its top or inside functions). Each line
# is a decision about the structure; a new module needs one.
MAY_IMPORT = {
    "__init__": {
        "_model_selection",
        "_regressor",
        "_tuning",
        "inspection",
        "losses",
        "metrics",
    },
    "_regressor": {"_callbacks", "_fit", "_model", "_rho", "_tuning", "_validation"},
    "_model_selection": {
        "_callbacks",
        "_fit",
        "_grid",
        "_model",
        "_regressor",
        "_scale",
        "_validation",
        "metrics",
    },
    "_model": {"_callbacks", "_fit", "_numba", "_problem", "_rows", "_validation"},
    "_callbacks": set(),
    "inspection/__init__": {"inspection"},
    "inspection/_axes": {"_validation", "inspection"},
    "inspection/_checks": {"_validation"},
    "inspection/_cv": {"_validation", "inspection"},
    "inspection/_inference": {"_validation", "inspection"},
    "inspection/_path": {"_model_selection", "_validation", "inspection"},
    "inspection/_residuals": {"_validation", "inspection"},
    "inspection/_weights": {"_validation", "inspection"},
    "inference/__init__": {"inference"},
    "inference/_bootstrap": {"_kernels", "_numba", "_regressor", "inference"},
    "inference/_checks": {"_validation"},
    "inference/_covariance": {"inference"},
    "inference/_distributions": set(),
    "inference/_goodness": {"inference"},
    "inference/_infer": {
        "_numba",
        "_scale",
        "_tuning",
        "_validation",
        "inference",
    },
    "inference/_leverage": {"_numba", "_regressor", "_validation", "inference"},
    "inference/_nested": {
        "_numba",
        "_regressor",
        "_scale",
        "_validation",
        "inference",
    },
    "inference/_result": {"_validation", "inference"},
    "inference/_space": set(),
    "inference/_summary": {"inference"},
    "inference/_sums": {"_numba", "inference"},
    "inference/_tests": {"inference"},
    "_tuning": {"_validation"},
    "_validation": set(),
    "_arrays": set(),
    "_scale": set(),
    "metrics": {"_validation"},
    "_fit": {
        "_direct",
        "_mad",
        "_scale",
        "_minimise",
        "_numba",
        "_objective",
        "_problem",
        "_rows",
        "_sketch",
        "_solver",
        "_sweep",
    },
    "_grid": {
        "_direct",
        "_fit",
        "_minimise",
        "_numba",
        "_objective",
        "_problem",
        "_rows",
        "_scale",
        "_sketch",
        "_solver",
        "_sweep",
    },
    "_rho": {
        "_fit",
        "_grid",
        "_mad",
        "_numba",
        "_rows",
        "_scale",
        "_sketch",
        "_sweep",
        "_tuning",
    },
    "_direct": {
        "_kernels",
        "_mad",
        "_minimise",
        "_scale",
        "_numba",
        "_objective",
        "_problem",
        "_rows",
        "_solver",
        "_sweep",
    },
    "_mad": {"_minimise", "_objective", "_problem", "_sketch", "_solver", "_sweep"},
    "_minimise": {"_objective", "_problem", "_rows", "_sketch", "_solver", "_sweep"},
    "_sketch": {"_rows", "_sweep"},
    "_problem": {"_scale", "_objective", "_rows", "_sweep"},
    "_objective": {"_sweep"},
    "_solver": set(),
    "_sweep": set(),
    "_rows": {"_arrays", "_kernels", "_numba", "_sweep"},
    "_numba": set(),
    "losses/__init__": {"losses"},
    "losses/_base": {"_arrays", "_validation"},
    "losses/_boosting": {"_scale", "_validation", "losses"},
    "losses/_checks": {"losses"},
    "losses/_classes": {"_validation", "losses"},
    "losses/_ctc": {"_arrays", "_kernels", "_numba", "_validation", "losses"},
    "losses/_elementwise": {"_arrays", "_kernels", "_numba", "_validation", "losses"},
    "losses/_pairs": {"_validation", "losses"},
    "_kernels/__init__": set(),
    "_kernels/scalar": {"_numba"},
    "_kernels/dense": {"_kernels", "_numba"},
    "_kernels/csr": {"_numba"},
    "_kernels/passes": {"_kernels", "_numba"},
    "_kernels/direct": {"_kernels", "_numba"},
    "_kernels/rules": set(),
    "_kernels/formulas": {"_kernels", "_numba"},
    "_kernels/elementwise": {"_kernels", "_numba"},
    "_kernels/ctc": {"_numba"},
    "_kernels/resample": {"_numba"},
}
# And who may import what of the outside that shapes the layers.
ONLY_THERE = {
    "numba": {"_numba", "_kernels/formulas", "_kernels/passes"},
    "sklearn": {
        "_callbacks",
        "_model",
        "_model_selection",
        "_regressor",
        "_validation",
        "inference/_bootstrap",
        "inference/_checks",
        "inference/_leverage",
        "inspection/_checks",
        "inspection/_path",
        "metrics",
    },
    "joblib": {"_numba"},
    "threadpoolctl": {"_numba"},
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            if node.module == "skhuber":
                yield from (f"skhuber.{alias.name}" for alias in node.names)
            else:
                yield node.module


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        yield str(path.relative_to(PACKAGE).with_suffix("")).replace(os.sep, "/"), path


@pytest.mark.parametrize(("name", "path"), list(modules()))
def test_imports(name, path):
    found = [module.split(".") for module in imports(path)]
    inside = {parts[1] for parts in found if parts[0] == "skhuber"}
    assert inside <= MAY_IMPORT[name]
    for package, allowed in ONLY_THERE.items():
        assert name in allowed or all(parts[0] != package for parts in found)


def test_the_table_has_no_module_that_is_gone():
    assert set(MAY_IMPORT) == {name for name, _ in modules()}


def loaded_modules(code):
    program = f"import sys\n{code}\nprint(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    return set(output.stdout.split())


def test_importing_and_predicting_load_no_numba():
    code = (
        "import numpy as np, skhuber\n"
        "model = skhuber.HuberRegressor()\n"
        "model.coef_, model.intercept_, model.n_features_in_ = np.ones(2), 1.0, 2\n"
        "assert model.predict([[1.0, 2.0]]) == 4.0\n"
        "skhuber.losses.HuberLoss(rho=2.0)"
    )
    loaded = loaded_modules(code)
    assert "skhuber" in loaded
    assert "numba" not in loaded
    assert "skhuber._fit" not in loaded
    assert "skhuber.inference" not in loaded
