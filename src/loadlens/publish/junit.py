"""Reports in JUnit's format, which build servers show."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from itertools import count
from typing import TYPE_CHECKING, Final

from loadlens.messages import visible_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from xml.etree.ElementTree import Element

__all__ = ["Case", "junit_document"]

_EPOCH: Final = datetime(1970, 1, 1)  # the schema has times without a zone


@dataclass(frozen=True, kw_only=True)
class Case:
    """One test case.

    Attributes:
        name: what was tested.
        problem: what is wrong, in a line; empty where nothing is.
        details: more about the problem, a line each.
    """

    name: str
    problem: str = ""
    details: Sequence[str] = ()


def junit_document(
    what: str, cases: Sequence[Case], facts: Mapping[str, str], times: tuple[float | None, float | None]
) -> str:
    """Test cases as a JUnit report, valid under the schemas of Ant and of Jenkins.

    Its time is that of the load test and not the present, so that the same log gives the same file.

    Args:
        what: the command that judges, such as ``check``.
        cases: the test cases.
        facts: properties of the suite besides the version.
        times: the first start and the last end of the log in s, None where it tells none.
    """
    from xml.etree import ElementTree as ET

    first, last = times
    duration_s = 0.0 if first is None or last is None else max(last - first, 0.0)
    root = ET.Element("testsuites")
    suite = ET.SubElement(
        root,
        "testsuite",
        {
            "name": f"loadlens {what}",
            "package": "loadlens",
            "id": "0",
            "timestamp": _timestamp(last if first is None else first),
            "hostname": "localhost",
            "tests": str(len(cases)),
            "failures": str(sum(bool(case.problem) for case in cases)),
            "errors": "0",
            "skipped": "0",
            "time": f"{duration_s:.3f}",
        },
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in {"loadlens_version": version("loadlens"), **facts}.items():
        ET.SubElement(properties, "property", {"name": name, "value": visible_lines(value)})
    for case, name in zip(cases, _distinct(case.name for case in cases), strict=True):
        _add(suite, case, {"name": name, "classname": f"loadlens.{what}", "time": "0"})
    for stream in ("system-out", "system-err"):
        ET.SubElement(suite, stream)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _timestamp(seconds: float | None) -> str:
    """A time of a log's clock as the schema has it, which knows no missing one: then the clock's zero."""
    return (_EPOCH + timedelta(seconds=math.floor(seconds or 0.0))).isoformat()


def _distinct(given: Iterable[str]) -> list[str]:
    """Names of which no two are equal, as readers of JUnit fold white space and go by names."""
    names: list[str] = []
    taken: set[str] = set()
    for text in given:
        name = " ".join(visible_lines(text).split())
        numbered = (f"{name} ({number})" for number in count(2))
        names.append(name if name not in taken else next(each for each in numbered if each not in taken))
        taken.add(names[-1])
    return names


def _add(suite: Element, case: Case, attributes: dict[str, str]) -> None:
    from xml.etree import ElementTree as ET

    element = ET.SubElement(suite, "testcase", attributes)
    if not case.problem:
        return
    failure = ET.SubElement(element, "failure", {"message": visible_lines(case.problem), "type": "gate"})
    failure.text = visible_lines("\n".join(line for line in (case.problem, *case.details) if line))
