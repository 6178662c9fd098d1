"""How large the house is: python benchmarks/structure.py; its table is in docs/structure.md.

A line of code is a line that holds a token other than a comment or a docstring. A name stands twice
if two public classes, or two modules in different rooms, share it.
"""

import ast
import sys
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
_EMPTY = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENCODING, tokenize.ENDMARKER,
}  # fmt: skip
HEAD = ("room", "files", "lines", "code", "modules: median", "95 %", "max",
        "functions: median", "95 %", "max")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Module:
    """One file of Python."""

    room: str
    """The folder in the package, "" for the package itself."""
    name: str
    lines: int
    code: int
    functions: tuple[int, ...]
    """Lines of each function, its head and docstring included."""
    classes: tuple[str, ...] = field(default=())
    """Public classes at its top."""


def read(path: Path, package: Path) -> Module:
    """Measure one file."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    classes = [n.name for n in tree.body if isinstance(n, ast.ClassDef)]
    return Module(
        room=path.parent.relative_to(package).as_posix().removeprefix("."),
        name=path.stem,
        lines=len(text.splitlines()),
        code=len(_token_lines(path) - set(_docstring_lines(tree))),
        functions=tuple(f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno),
        classes=tuple(name for name in classes if not name.startswith("_")),
    )


def _token_lines(path: Path) -> set[int]:
    with path.open("rb") as file:
        tokens = [t for t in tokenize.tokenize(file.readline) if t.type not in _EMPTY]
    return set(chain.from_iterable(range(t.start[0], t.end[0] + 1) for t in tokens))


def _docstring_lines(tree: ast.AST) -> Iterator[int]:
    """Lines of strings that stand for themselves: docstrings, and those below an attribute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)


def twice(names: Sequence[str]) -> list[str]:
    """The names that a list holds more than once, sorted."""
    return sorted({name for name in names if names.count(name) > 1})


def modules(package: Path) -> list[Module]:
    """Every file of a package, in order."""
    return [read(path, package) for path in sorted(package.rglob("*.py"))]


def row(title: str, found: Sequence[Module]) -> tuple[str, ...]:
    """One row of the table under HEAD."""
    functions = [n for m in found for n in m.functions]
    sizes = [m.lines for m in found]
    cells = (
        len(found),
        sum(sizes),
        sum(m.code for m in found),
        *_spread(sizes),
        *_spread(functions),
    )
    return (title, *(f"{cell:g}" for cell in cells))


def _spread(values: Sequence[int]) -> tuple[float, int, int]:
    ordered = sorted(values) or [0]
    return median(ordered), ordered[int(0.95 * (len(ordered) - 1))], ordered[-1]


def report(package: Path) -> str:
    """The whole table in Markdown, and the names that stand twice."""
    found = modules(package)
    rooms = sorted({m.room for m in found})
    rows = [row(room or package.name, [m for m in found if m.room == room]) for room in rooms]
    rows.append(row("**all**", found))
    lines = ["| " + " | ".join(cells) + " |" for cells in (HEAD, ("---",) * len(HEAD), *rows)]
    classes = twice([name for m in found for name in m.classes])
    names = twice([m.name for m in found if not m.name.startswith("__")])
    lines += ["", f"Public classes named twice: {', '.join(classes) or 'none'}."]
    lines += [f"Modules named twice: {', '.join(names) or 'none'}."]
    return "\n".join(lines)


if __name__ == "__main__":
    print(report(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "reach_rl"))
