"""Records framed as in event files: length, its checksum, the data and theirs.

The checksum is CRC-32C (Castagnoli). It is linear over the bits of the data, so what each byte at
each place contributes is looked up for a whole block at once, and combined by exclusive or.
"""

import struct
from functools import cache

import numpy as np

_POLYNOMIAL = 0x82F63B78
"""Castagnoli's, lowest bit first."""

_BLOCK = 1024
"""Bytes looked up at once."""


def framed(data: bytes) -> bytes:
    """A record as event files have it."""
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def crc32c(data: bytes) -> int:
    """CRC-32C of some bytes."""
    table, numbers = _table(), np.frombuffer(data, np.uint8)
    state = 0xFFFFFFFF
    for begin in range(0, len(numbers), _BLOCK):
        block = numbers[begin : begin + _BLOCK].astype(np.intp)
        for i in range(min(4, len(block))):  # what came before acts like these bytes
            block[i] ^= state & 0xFF
            state >>= 8
        places = table[-len(block) :]
        state ^= int(np.bitwise_xor.reduce(places[np.arange(len(block)), block]))
    return state ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    """The checksum, turned and shifted, so that one of data that holds checksums is no hazard."""
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@cache
def _table() -> np.ndarray:
    """What a byte contributes, by its place in a block and its value, (_BLOCK, 256)."""
    last = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        last = last >> 1 ^ (last & 1) * np.uint32(_POLYNOMIAL)
    table = np.empty((_BLOCK, 256), np.uint32)
    table[-1] = last
    for place in range(_BLOCK - 2, -1, -1):
        after = table[place + 1]
        table[place] = after >> 8 ^ last[after & 0xFF]
    return table
