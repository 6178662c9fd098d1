"""Functions of tensors without Python between their operations."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch


@cache
def scripted(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function in TorchScript, which runs without Python's lock; compiled once, in a moment."""
    with warnings.catch_warnings():  # what torch recommends instead needs a C++ compiler
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(function)
