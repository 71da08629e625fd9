"""Questions about a log: what has to be measured, and what follows from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from loadlens.engine.measuring import measure_all
from loadlens.profile.execution import MeasureOptions
from loadlens.profile.plan import Plan, Statistics
from loadlens.sources.log import Log

__all__ = ["Question", "ask", "ask_all"]

Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class Question(Generic[Answer]):
    """Something that is asked of a log.

    Attributes:
        plan: what has to be measured.
        answer: what follows from the statistics.
    """

    plan: Plan
    answer: Callable[[Statistics], Answer]


def ask(log: Log, question: Question[Answer], options: MeasureOptions) -> Answer:
    """The answer to one question; see ``measure_all`` for what it raises."""
    (answer,) = ask_all(log, [question], options)
    found: Answer = answer
    return found


def ask_all(log: Log, questions: Sequence[Question[Any]], options: MeasureOptions) -> list[Any]:
    """The answers to several questions, for which the log is measured together.

    Args:
        log: the log.
        questions: what is asked.
        options: how to measure.

    Returns:
        The answer to each question.
    """
    several = measure_all(log, [question.plan for question in questions], options)
    return [question.answer(found) for question, found in zip(questions, several, strict=True)]
