"""What an MJCF file says before anything is built from it; absurd ones are refused with one line.

MuJoCo's own reader takes what it is given: a hundred letters of XML can ask it for a billion
bodies. A model from elsewhere is therefore looked through here first.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from reach_rl.config.load import ConfigError

MAX_BYTES = 20_000_000
MAX_DEPTH = 200
MAX_ELEMENTS = 200_000
MAX_COPIES = 10_000
"""Copies of an element by nested <replicate>, and elements of a <composite> or <flexcomp>."""
MAX_TOTAL = 1_000_000
"""Elements of a model, copies included."""

LIMITS: Mapping[tuple[str, str], float] = {
    ("texture", "width"): 16_384,
    ("texture", "height"): 16_384,
    ("texture", "nchannel"): 4,
    ("hfield", "nrow"): 4096,
    ("hfield", "ncol"): 4096,
    ("mesh", "params"): 1000,
    ("numeric", "size"): 1_000_000,
    ("user", "dim"): 10_000,
    ("contact", "num"): 10_000,
    ("camera", "resolution"): 16_384,
    ("global", "offwidth"): 16_384,
    ("global", "offheight"): 16_384,
    ("size", "memory"): 1_000_000_000,
}
"""Largest number in an attribute that MuJoCo takes memory for; of <size>, any other: a million."""

_SIZES = 1_000_000
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50, "E": 2**60}


@dataclass(frozen=True, slots=True)
class Element:
    """One element of the file."""

    tag: str
    attributes: Mapping[str, str]
    copies: float
    """How many of it there will be, as far as this file tells."""


def scan(path: Path) -> list[Element]:
    """The elements of a file in their order; the first is its root.

    Raises:
        ConfigError: it is not XML, or asks for more than any robot needs.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _problem(
                path, f"has {size / 1e6:,.0f} MB; at most {MAX_BYTES / 1e6:.0f} are read"
            )
        data = path.read_bytes()
        data.decode()  # what MuJoCo takes it for, whatever it declares
        return _Scanner(path).read(data)
    except OSError as error:
        raise _problem(path, f"cannot be read: {error.strerror}") from None
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise _problem(path, f"is not valid XML: {' '.join(str(error).split())}") from None


class _Scanner:
    """Goes through a file once, keeping nothing but its elements."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.elements: list[Element] = []
        self.copies = [1.0]
        self.parser = expat.ParserCreate("utf-8")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._doctype

    def read(self, data: bytes) -> list[Element]:
        self.parser.Parse(data, True)
        return self.elements

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self.copies.append(self.copies[-1] * _copies(tag, attributes))
        self.elements.append(Element(tag, attributes, self.copies[-1]))
        if len(self.copies) > MAX_DEPTH:
            raise self._problem(f"is nested deeper than {MAX_DEPTH} elements")
        if len(self.elements) > MAX_ELEMENTS:
            raise self._problem(f"has more than {MAX_ELEMENTS:,} elements")
        if self.copies[-1] > MAX_COPIES:
            raise self._problem(f"asks for more than {MAX_COPIES:,} copies by <{tag}>")
        for name, text in attributes.items():
            limit = LIMITS.get((tag, name), _SIZES if tag == "size" else math.inf)
            if any(number > limit for number in _numbers(text)):
                raise self._problem(f'{name}="{text[:20]}" of <{tag}> is beyond {limit:,.0f}')

    def _end(self, tag: str) -> None:
        self.copies.pop()

    def _doctype(self, *_: object) -> None:
        raise self._problem("declares a document type, which MJCF has no use for; remove it")

    def _problem(self, text: str) -> ConfigError:
        return _problem(self.path, f"{text} (line {self.parser.CurrentLineNumber})")


def check_together(main: Path, files: Mapping[Path, list[Element]]) -> None:
    """Raise ConfigError if the files of a model together ask for too much."""
    total = sum(element.copies for elements in files.values() for element in elements)
    for elements in files.values():
        total *= max((e.copies for e in elements if e.tag == "include"), default=1.0)
    if total > MAX_TOTAL:
        raise _problem(main, f"asks for more than {MAX_TOTAL:,} elements in all")


def _problem(path: Path, text: str) -> ConfigError:
    return ConfigError(f"robot.mjcf: {path.name} {text}")


def _copies(tag: str, attributes: Mapping[str, str]) -> float:
    if tag not in ("replicate", "composite", "flexcomp"):
        return 1.0
    return math.prod(max(1.0, number) for number in _numbers(attributes.get("count", "1")))


def _numbers(text: str) -> list[float]:
    """The numbers in an attribute, with MuJoCo's units of memory; what is none is left out."""
    found = []
    for word in text.split():
        unit = _UNITS.get(word[-1].upper())
        try:
            found.append(float(word[:-1]) * unit if unit else float(word))
        except ValueError:
            continue
    return [number for number in found if not math.isnan(number)]
