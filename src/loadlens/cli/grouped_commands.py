"""Commands whose parameters are groups of options, and their help by group."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import partial, wraps
from inspect import Parameter
from typing import Any, Final

import typer
from typer.core import TyperArgument, TyperCommand

__all__ = [
    "HELP_WIDTH",
    "GroupedCommand",
    "comparison_option",
    "cost_option",
    "figures_option",
    "gates_option",
    "input_argument",
    "input_option",
    "output_option",
    "profile_option",
    "quick",
    "running_option",
    "simulation_option",
    "slices_option",
    "spelt_out",
]

HELP_WIDTH: Final = 100
_GROUPS: Final = (
    "Input",
    "Slices",
    "Figures",
    "Gates",
    "Comparison",
    "Cost",
    "Profile",
    "Simulation",
    "Running",
    "Output",
)


def _options_of(group: str) -> Callable[..., Any]:
    """Declares an option of a group, whose default is shown only if it is told to."""
    return partial(typer.Option, rich_help_panel=group, show_default=False)


input_argument = partial(typer.Argument, rich_help_panel=_GROUPS[0])
(
    input_option,
    slices_option,
    figures_option,
    gates_option,
    comparison_option,
    cost_option,
    profile_option,
    simulation_option,
    running_option,
    output_option,
) = map(_options_of, _GROUPS)


def spelt_out(command: Callable[..., None]) -> Callable[..., None]:
    """A command that takes the options of its groups one by one, as typer reads them from its signature.

    Args:
        command: some of its parameters may be dataclasses, whose fields are options declared for typer.
    """
    own = inspect.signature(command).parameters
    groups: dict[str, Any] = {
        name: each.annotation for name, each in own.items() if is_dataclass(each.annotation)
    }
    spelt: list[Parameter] = []
    for name, parameter in own.items():
        spelt += map(_parameter, fields(groups[name])) if name in groups else [parameter]
    positional = [each for each in spelt if each.kind is not Parameter.KEYWORD_ONLY]
    rest = [each for each in spelt if each.kind is Parameter.KEYWORD_ONLY]
    signature = inspect.Signature([*positional, *rest])

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        bound = signature.bind(*arguments, **options)
        bound.apply_defaults()
        given = bound.arguments
        made = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**given, **made)

    run.__signature__ = signature  # type: ignore[attr-defined]  # of any function
    run.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
    return run


def _parameter(field: Field[Any]) -> Parameter:
    default = Parameter.empty if field.default is MISSING else field.default
    return Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=field.type)


@dataclass(frozen=True)
class _AsGiven:
    """Takes a value as it is where that is of the parameter's type; else typer makes it so."""

    own: Any

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value that the command gets."""
        kind = self.own.type_descriptor.annotation
        is_list = self.own.multiple or self.own.nargs == -1
        if value is None:
            return () if is_list else None
        texts = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
        if type(value) is kind or (kind == list[str] and is_list and texts):
            return value
        return type(self.own).get_runtime_param(self.own).coerce(value, param=param, ctx=ctx)


def quick(params: list[Any]) -> list[Any]:
    """Typer's parameters, which take texts as they are.

    Typer has Pydantic look at every value, which takes a tenth of a short run to import.
    """
    for param in params:
        vars(param).setdefault("get_runtime_param", partial(_AsGiven, param))
    return params


class GroupedCommand(TyperCommand):
    """A command whose help has a section for each group of options."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters."""
        return quick(super().get_params(ctx))

    def records(self, ctx: Any) -> dict[str, list[tuple[str, str]]]:
        """The options with what they do, by group, in the order of the help; --help itself is known."""
        groups: dict[str, list[tuple[str, str]]] = {name: [] for name in _GROUPS}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx)
            if record is not None and "--help" not in option.opts:
                name = str(option.metavar) if isinstance(option, TyperArgument) else record[0]
                group = getattr(option, "rich_help_panel", None) or _GROUPS[-1]
                groups[group].append((name, record[1]))
        return {title: rows for title, rows in groups.items() if rows}

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the options, one column for all groups."""
        groups = self.records(ctx)
        width = max(len(name) for rows in groups.values() for name, _ in rows)
        for title, rows in groups.items():
            formatter.write_heading(title)
            with formatter.indentation():
                formatter.write_dl([(name.ljust(width), text) for name, text in rows])
