"""Where the value labels of a line chart go so that they cover neither lines nor each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

__all__ = ["PLACEMENTS", "Placement", "place_labels"]

Point = tuple[float, float]
Line = Sequence[Point | None]


@dataclass(frozen=True)
class Placement:
    """A side of a marker: the text's alignment there and its distance in pixels."""

    align: Literal["left", "center", "right"]
    dx: float
    dy: float


PLACEMENTS: Final[tuple[Placement, ...]] = (
    Placement("center", 0, -15),
    Placement("center", 0, 15),
    Placement("left", 6, -12),
    Placement("right", -6, -12),
    Placement("left", 6, 12),
    Placement("right", -6, 12),
    Placement("left", 10, 0),
    Placement("right", -10, 0),
)

_CHARACTER_WIDTH = 7.0
_HALF_HEIGHT = 7.0
_HALF_MARKER = 5.0
_SAMPLES = 60
_TOUCHES_TEXT = 100
_LEAVES_PANEL = 50

_Box = tuple[float, float, float, float]  # left, top, right, bottom


def place_labels(
    lines: Sequence[Line], texts: Sequence[Sequence[str]], *, width: float, height: float
) -> list[list[int]]:
    """Chooses a placement for each point's label, from left to right.

    Args:
        lines: the points of each line in pixels from the panel's upper left corner; None is a gap.
        texts: the labels of each line's points.
        width: of the panel in pixels.
        height: of the panel in pixels.

    Returns:
        For each line and point an index into ``PLACEMENTS``.
    """
    course = [point for line in lines for point in _along(line)]
    taken = [_around(point) for line in lines for point in line if point]
    chosen = [[0] * len(line) for line in lines]
    for column in range(max(map(len, lines), default=0)):
        for number, line in enumerate(lines):
            point = line[column]
            if point is None:
                continue
            boxes = [_box(point, texts[number][column], placement) for placement in PLACEMENTS]
            others = [box for box in taken if box != _around(point)]
            costs = [_cost(box, course, others, width, height) for box in boxes]
            chosen[number][column] = costs.index(min(costs))
            taken.append(boxes[chosen[number][column]])
    return chosen


def _cost(box: _Box, course: Sequence[Point], taken: Sequence[_Box], width: float, height: float) -> float:
    left, top, right, bottom = box
    covered = sum(left <= x <= right and top <= y <= bottom for x, y in course)
    touched = sum(left < b[2] and b[0] < right and top < b[3] and b[1] < bottom for b in taken)
    outside = left < 0 or top < 0 or right > width or bottom > height
    return covered + _TOUCHES_TEXT * touched + _LEAVES_PANEL * outside


def _box(point: Point, text: str, placement: Placement) -> _Box:
    width = _CHARACTER_WIDTH * len(text)
    x, y = point[0] + placement.dx, point[1] + placement.dy
    left = x - {"left": 0.0, "center": 0.5, "right": 1.0}[placement.align] * width
    return (left, y - _HALF_HEIGHT, left + width, y + _HALF_HEIGHT)


def _around(point: Point) -> _Box:
    x, y = point
    return (x - _HALF_MARKER, y - _HALF_MARKER, x + _HALF_MARKER, y + _HALF_MARKER)


def _along(line: Line) -> Iterator[Point]:
    """Points along the line, close enough to notice where it runs through a label."""
    for start, end in pairwise(line):
        if start and end:
            for step in range(_SAMPLES + 1):
                part = step / _SAMPLES
                yield (start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1]))
