"""Which package may import which: data go down the layers once, sums come up once."""

import ast
import graphlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import skhuber

PACKAGE = Path(skhuber.__file__).parent

# What a package, or a module beside the packages, may import of skhuber (at the top of
# its modules or inside functions). Each arrow is a decision about the structure.
MAY_IMPORT = {
    "__init__": {"_estimators", "_tuning", "losses", "metrics"},
    "compile": {"_common", "_estimators", "_kernels", "_rows", "_sums"},
    "dask": {"_common", "_estimators", "_fit", "_rows", "_runtime", "_tuning"},
    "inspection": {"_common", "_estimators"},
    "inference": {"_common", "_estimators", "_kernels", "_runtime", "_tuning"},
    "_estimators": {"_common", "_fit", "_rows", "_runtime", "_tuning", "metrics"},
    "_tuning": {"_common", "_fit", "_rows", "_runtime", "_solver", "_sums"},
    "_fit": {
        "_common",
        "_kernels",
        "_objective",
        "_rows",
        "_runtime",
        "_solver",
        "_sums",
    },
    "_objective": {"_sums"},
    "_solver": {"_kernels"},
    "_rows": {"_common", "_kernels", "_runtime", "_sums"},
    "_sums": set(),
    "losses": {"_common", "_kernels", "_runtime"},
    "metrics": {"_common"},
    "_kernels": {"_runtime"},
    "_runtime": set(),
    "_common": set(),
}
# Which modules may import what shapes the layers: of the outside, and of skhuber what
# only some modules of a package may import.
ONLY_THERE = {
    "numba": {
        "_runtime/collector",
        "_runtime/launch",
        "_kernels/formulas",
        "_kernels/sweeps",
    },
    "dask": {"dask/__init__", "dask/_chunks", "dask/_engines"},
    "distributed": {"dask/__init__", "dask/_engines"},
    "joblib": {"_runtime/launch"},
    "threadpoolctl": {"_runtime/blas"},
    "sklearn": {
        "_common/validation",
        "_estimators/base",
        "_estimators/callbacks",
        "_estimators/cross_validation",
        "_estimators/elastic_net",
        "_estimators/folds",
        "_estimators/groups",
        "_estimators/net_cv",
        "_estimators/net_path",
        "_estimators/path",
        "_estimators/regressor",
        "_estimators/scoring",
        "_estimators/streaming",
        "dask/_regressor",
        "inference/_bootstrap",
        "inference/_checks",
        "inference/_leverage",
        "inspection/_checks",
        "metrics",
    },
    "scipy.optimize": {"_solver/lbfgs", "_tuning/efficiency"},
    "skhuber._fit.small": {"_fit/fit", "_fit/grid"},
    "skhuber._fit.plan": {
        "_fit/elastic_net",
        "_fit/fit",
        "_fit/grid",
        "_fit/levels",
        "_fit/net_path",
        "_fit/stream",
        "_fit/targets",
        "_fit/wide",
    },
    "skhuber._kernels.direct": {"_fit/small", "compile"},
}


def imports(path):
    """Yield the modules and names that a module imports, as dotted names."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        yield str(path.relative_to(PACKAGE).with_suffix("")).replace(os.sep, "/"), path


@pytest.mark.parametrize(("name", "path"), list(modules()))
def test_imports(name, path):
    package = name.partition("/")[0]
    found = list(imports(path))
    inside = {dotted.split(".")[1] for dotted in found if dotted.startswith("skhuber.")}
    assert inside - {package} <= MAY_IMPORT[package]
    for dotted, allowed in ONLY_THERE.items():
        used = any(f"{one}.".startswith(f"{dotted}.") for one in found)
        assert not used or name in allowed, dotted


def test_the_table_is_complete():
    assert set(MAY_IMPORT) == {name.partition("/")[0] for name, _ in modules()}


def test_every_arrow_of_the_table_is_used():
    used = {package: set() for package in MAY_IMPORT}
    for name, path in modules():
        for dotted in imports(path):
            if dotted.startswith("skhuber."):
                used[name.partition("/")[0]].add(dotted.split(".")[1])
    assert {a: found - {a} for a, found in used.items()} == MAY_IMPORT


def test_packages_are_layers():
    graphlib.TopologicalSorter(MAY_IMPORT).prepare()  # refuses a cycle


def test_modules_have_no_cycles():
    """The way of a call goes through modules in one direction, within packages, too."""
    names = {name for name, _ in modules()}
    graph = {}
    for name, path in modules():
        below = set()
        tree = ast.parse(path.read_text("utf-8"))
        for node in tree.body:  # those inside functions run later
            if not isinstance(node, ast.ImportFrom):
                continue
            module = node.module.replace(".", "/").removeprefix("skhuber/")
            for alias in node.names:
                below |= {module, f"{module}/{alias.name}"} & names
        graph[name] = below - {name}
    graphlib.TopologicalSorter(graph).prepare()


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
    assert "skhuber._estimators" in loaded
    for name in ("numba", "matplotlib", "skhuber._fit", "skhuber._rows"):
        assert name not in loaded, name
    # scikit-learn loads what skhuber imports of scipy when it is imported.
    alone = loaded_modules("import sklearn.metrics, sklearn.model_selection")
    added = {name.partition(".")[0] for name in loaded - alone}
    assert added & {"scipy", "pandas", "joblib", "statsmodels"} == set()
