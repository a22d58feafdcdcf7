"""The package's metadata says what is tested."""

import importlib.metadata
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

import skhuber

ROOT = Path(__file__).parents[1]
TESTED_EXTRAS = ["dask", "plot", "test"]


def stated_bounds():
    """Lower bound of each dependency that the suite runs with."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = list(project["dependencies"])
    for extra in TESTED_EXTRAS:
        lines += project["optional-dependencies"][extra]
    bounds = {}
    for requirement in map(Requirement, lines):
        if requirement.name != "skhuber":
            (bound,) = requirement.specifier
            assert bound.operator == ">=", requirement
            bounds[requirement.name] = bound.version
    return bounds


def pinned_versions():
    """What tests/lowest.txt pins, and what it pins for the sake of others."""
    text = (ROOT / "tests" / "lowest.txt").read_text("utf-8")
    own, others = text.split("# Not dependencies of skhuber")
    return [
        dict(line.split("==") for line in part.splitlines() if "==" in line)
        for part in (own, others)
    ]


def test_lowest_versions_are_the_stated_bounds():
    own, others = pinned_versions()
    assert own == stated_bounds()
    assert not own.keys() & others.keys()


def test_version_has_one_source():
    assert importlib.metadata.version("skhuber") == skhuber.__version__


def test_package_is_marked_as_typed():
    assert (Path(skhuber.__file__).parent / "py.typed").is_file()
