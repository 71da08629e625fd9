"""The engine that is being introduced beside ``loadlens.profile``: a native tally, and what is made of it.

One scan counts every row into a tally; a second one looks at the few rows that decide exact figures. Nothing
outside this package uses it yet: the figures that users see still come from ``loadlens.profile``, and the
tests hold both to the same oracle.
"""

__all__: list[str] = []
