"""Every docstring of the package stands alone: its first line has a subject and a verb.

A reader meets a docstring by itself, in an editor or in the reference. A first line
that leans on the definition above it ("The same with …", "Of the first of these") or
that begins with no subject ("Whether …", "What …") sends the reader searching.
"""

import ast
import re
from pathlib import Path

import pytest

import skhuber

PACKAGE = Path(skhuber.__file__).parent

# A first line that begins so has no subject, or leans on the definition above it.
NO_SUBJECT = re.compile(
    r"(The same|Of|By|Where|Whether|What|As|None|So|That|Those|These|This|It|They|Its"
    r"|Their|Also|And|Or|But|With|Without|From|To|For|In|On|At)\b"
)
# A first line with one of these phrases is a riddle, or makes a person of the code.
RIDDLE = re.compile(
    r"\b(so many|so much|(?<!there )is none|(?<!there )are none|the latter|the former"
    r"|who|whom|nobody|somebody|anybody)\b",
    re.IGNORECASE,
)


def docstrings(tree):
    """Yield (line, first line of the docstring) of a module and all it defines.

    A string below an assignment documents the attribute.
    """
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        defines = isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        )
        for before, statement in zip([None, *body], body, strict=False):
            documents = before is None or isinstance(before, ast.Assign | ast.AnnAssign)
            match statement:
                case ast.Expr(ast.Constant(str(text))) if defines and documents:
                    yield statement.lineno, text.strip().partition("\n")[0]


def faults(source):
    """List the first lines that begin with no subject or that are riddles."""
    return [
        f"line {line}: {first}"
        for line, first in docstrings(ast.parse(source))
        if NO_SUBJECT.match(first) or RIDDLE.search(first)
    ]


def modules():
    return {
        path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8")
        for path in sorted(PACKAGE.rglob("*.py"))
    }


@pytest.mark.parametrize(
    ("first_line", "is_fault"),
    [
        ("The same with the h of `sums_and_gram`.", True),
        ("Of the Hessian; and Σ s z² of all rows.", True),
        ("By the Hessian on the problem's rows.", True),
        ("Where a sweep looks.", True),
        ("Whether no more rows are met than needs be.", True),
        ("What a sweep over the loss returns.", True),
        ("As of other losses.", True),
        ("None of the above.", True),
        ("Return a loss of more than so many.", True),
        ("Return the share, so much of a threshold.", True),
        ("A loss above 1000 σ is none.", True),
        ("Return the latter.", True),
        ("Stop a fit who watched it asked to stop.", True),
        ("Return the Hessian's diagonal.", False),
        ("Official name of the loss.", False),
        ("Return the first index; None if there is none.", False),
        ("Whole rows of a chunk.", False),
        ("Asymptotic efficiency of the estimate.", False),
    ],
)
def test_the_check_tells_faults(first_line, is_fault):
    assert bool(faults(f'"""{first_line}"""')) == is_fault
    in_function = f'def f():\n    """{first_line}\n\n    More.\n    """'
    assert bool(faults(in_function)) == is_fault
    of_attribute = f'class C:\n    a: int\n    """{first_line}"""'
    assert bool(faults(of_attribute)) == is_fault


@pytest.mark.parametrize("name", sorted(modules()))
def test_docstrings_stand_alone(name):
    assert faults(modules()[name]) == []
