"""Functions of tensors without Python between their operations."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

Function = Callable[..., Any]


@cache
def scripted(function: Function) -> Function:
    """A function in TorchScript, which runs without Python's lock; compiled once, in a moment.

    Where TorchScript cannot compile, as with Pythons newer than it knows, it is the function
    itself, which means the same and is slower.
    """
    with warnings.catch_warnings():  # what torch recommends instead needs a C++ compiler
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return torch.jit.script(function)
        except Exception:  # whatever a torch without TorchScript raises
            return function
