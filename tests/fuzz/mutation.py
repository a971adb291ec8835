"""Damage to bytes: seeded, so that every input can be made again from its number."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

NUMBERS = (0, 1, -1, 2, 7, 127, 255, 256, 1023, 32767, -32768, 65535, 2**31 - 1, -(2**31), 10**9)
REALS = (0.0, -1.0, 1e-30, 1e30, 3e38, float("inf"), float("-inf"), float("nan"), 1e6)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return the data with one to six kinds of damage."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        data = rng.choice(DAMAGES)(data, rng)
    return data


def flip_bits(data, rng):
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        if changed:
            changed[_place(changed, rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def set_number(data, rng):
    """Write a number that stands at a limit, in a size and byte order."""
    form = rng.choice("bhiqfd")
    value = rng.choice(REALS if form in "fd" else NUMBERS)
    size = struct.calcsize("<" + form)
    bits = 8 * size
    if form not in "fd":
        value = (value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
    packed = struct.pack(rng.choice("<>") + form, value)
    place = _place(data, rng)
    return data[:place] + packed + data[place + size :]


def cut_off(data, rng):
    return data[: rng.randrange(len(data) + 1)]


def lengthen(data, rng):
    return data + rng.randbytes(rng.choice((1, 16, 512, 5000)))


def cut_out(data, rng):
    start = _place(data, rng)
    return data[:start] + data[start + rng.randint(1, 64) :]


def repeat(data, rng):
    start = _place(data, rng)
    return data[:start] + data[start : start + rng.randint(1, 64)] + data[start:]


def zero(data, rng):
    start, size = _place(data, rng), rng.randint(1, 64)
    return data[:start] + bytes(size) + data[start + size :]


DAMAGES = (flip_bits, flip_bits, set_number, set_number, cut_off, lengthen, cut_out, repeat, zero)

WORDS = (
    b"null", b"true", b"-1", b"0", b"1e999", b"-1e999", b"NaN", b"Infinity", b'""', b"[]", b"{}",
    b'"__import__(\\"os\\")"', b'"\\ud800"', b"9" * 5000, b"[" * 3000, b'"' + b"x" * 3000 + b'"',
    b'{"_target_": "os.system"}', b"1.5", b"[1, 2]", b"\xff", b"100000000000000000000",
)  # fmt: skip


def mutated_text(data: bytes, rng: random.Random) -> bytes:
    """Return JSON or CSV text with values replaced, keys renamed, or bytes damaged."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        data = rng.choice((_replace_value, _replace_value, _rename, mutated))(data, rng)
    return data


def _replace_value(data, rng):
    """Put a word of `WORDS` in the place of something between two punctuation marks."""
    marks = [n for n, byte in enumerate(data) if byte in b":,[]{}\n"]
    if len(marks) < 2:
        return data
    start = rng.choice(marks[:-1])
    stop = next(mark for mark in marks if mark > start)
    return data[: start + 1] + rng.choice(WORDS) + data[stop:]


def _rename(data, rng):
    words = [word for word in data.split(b'"') if word.replace(b"_", b"").isalnum()]
    return data.replace(rng.choice(words), b"unheard_of", 1) if words else data


def _place(data, rng):
    """Choose a byte, mostly near the start, where headers are."""
    size = max(len(data), 1)
    return rng.randrange(min(size, rng.choice((64, 400, size))))
