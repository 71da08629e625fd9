"""Questions about a log: what has to be measured, and what follows from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, Unpack

from loadlens.engine.measuring import measure_all
from loadlens.profile.plan import Execution, Plan, Statistics
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


def ask(log: Log, question: Question[Answer], **execution: Unpack[Execution]) -> Answer:
    """The answer to one question; see ``measure_all`` for what it raises."""
    (answer,) = ask_all(log, [question], **execution)
    found: Answer = answer
    return found


def ask_all(log: Log, questions: Sequence[Question[Any]], **execution: Unpack[Execution]) -> list[Any]:
    """The answers to several questions, for which the log is measured together.

    Args:
        log: the log.
        questions: what is asked.
        **execution: how to measure.

    Returns:
        The answer to each question.
    """
    several = measure_all(log, [question.plan for question in questions], **execution)
    return [question.answer(found) for question, found in zip(questions, several, strict=True)]
