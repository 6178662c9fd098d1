"""Functions of tensors without Python between their operations."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

Function = Callable[..., Any]


@cache
def scripted(function: Function, otherwise: Function | None = None) -> Function:
    """A function in TorchScript, which runs without Python's lock; compiled once, in a moment.

    Args:
        function: annotated as TorchScript needs it.
        otherwise: what to take where TorchScript cannot compile, as with Pythons newer than it
            knows: the function itself by default, which then means the same and is slower.
    """
    with warnings.catch_warnings():  # what torch recommends instead needs a C++ compiler
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return torch.jit.script(function)
        except Exception:  # whatever a torch without TorchScript raises
            return otherwise or function
