"""Which lines of k6's files hold a sample that is needed, found without parsing the others."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from loadlens.sources.text.blocks import Block

__all__ = ["Chosen", "chosen_lines", "metric_at"]

_LONGEST_NAME: Final = 32  # of a metric of k6's own; what is longer is parsed
_LINE_BREAK: Final = ord("\n")


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The lines of a block that are worth parsing, and what the others are.

    Attributes:
        block: the lines to parse, in their order.
        is_chosen: for each line of the whole block whether it is one of them.
        passed_over: how many other lines there are, by the metric that they are samples of.
    """

    block: Block
    is_chosen: np.ndarray
    passed_over: Mapping[str, int]


def chosen_lines(block: Block, *, prefixes: Sequence[bytes], end: bytes, skipped: Collection[str]) -> Chosen:
    """Chooses every line but those that are samples of ``skipped`` metrics.

    Args:
        block: lines, each a record.
        prefixes: what may stand before the name of a metric at the beginning of a line. A line that begins
            with none of them is chosen.
        end: the character that ends a name.
        skipped: metrics whose samples nobody needs, of names of up to 31 characters.
    """
    text = np.frombuffer(block.data + bytes(_LONGEST_NAME + max(map(len, prefixes))), np.uint8)
    breaks = np.flatnonzero(text[: len(block.data)] == _LINE_BREAK)
    starts = np.concatenate([[0], breaks + 1])
    starts = starts[starts < len(block.data)]
    names = sorted(skipped)
    code = _codes(text, starts, prefixes, end, names)
    counts = np.bincount(code[code >= 0], minlength=len(names))
    bounds = np.append(starts, len(block.data))
    return Chosen(
        block=replace(block, data=_pieces(block.data, bounds, code < 0), line_breaks=-1),
        is_chosen=code < 0,
        passed_over=Counter({name: int(count) for name, count in zip(names, counts, strict=True) if count}),
    )


def _codes(
    text: np.ndarray, starts: np.ndarray, prefixes: Sequence[bytes], end: bytes, names: Sequence[str]
) -> np.ndarray:
    """For each line the index of its metric in ``names``; -1 where it is none of them."""
    code = np.full(starts.size, -1)
    for prefix in prefixes:
        found = np.flatnonzero(_begins(text, starts, prefix)) if prefix else np.arange(starts.size)
        code[found] = _named(text, starts[found] + len(prefix), end, names)
    return code


def _begins(text: np.ndarray, starts: np.ndarray, prefix: bytes) -> np.ndarray:
    is_same = np.ones(starts.size, np.bool_)
    for at, byte in enumerate(prefix):
        is_same &= text[starts + at] == byte
    return is_same


def _named(text: np.ndarray, starts: np.ndarray, end: bytes, names: Sequence[str]) -> np.ndarray:
    """The index in ``names`` of what stands from ``starts`` on up to ``end``; -1 where it is none."""
    windows = np.lib.stride_tricks.sliding_window_view(text, _LONGEST_NAME)[starts]
    words = np.ascontiguousarray(windows).view(np.uint64)
    code = np.full(starts.size, -1)
    for index, name in enumerate(names):
        told = name.encode() + end
        wanted = np.frombuffer(told.ljust(_LONGEST_NAME, b"\0"), np.uint64)
        mask = np.frombuffer((b"\xff" * len(told)).ljust(_LONGEST_NAME, b"\0"), np.uint64)
        width = -(-len(told) // 8)
        is_same = (words[:, width - 1] & mask[width - 1]) == wanted[width - 1]
        for at in range(width - 1):
            is_same &= words[:, at] == wanted[at]
        code[is_same] = index
    return code


def _pieces(data: bytes, bounds: np.ndarray, is_chosen: np.ndarray) -> bytes:
    """The chosen lines, of which ``bounds`` tells beginnings and ends."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_chosen, [False]]).astype(np.int8)))
    at = bounds[edges].tolist()
    return b"".join(data[start:stop] for start, stop in zip(at[::2], at[1::2], strict=True))


def metric_at(line: bytes, *, prefixes: Sequence[bytes], end: bytes) -> str | None:
    """The metric that a line is a sample of, if it begins as those that ``chosen_lines`` knows."""
    for prefix in prefixes:
        if line.startswith(prefix):
            name, found, _ = line[len(prefix) :].partition(end)
            return name.decode(errors="replace") if found else None
    return None
