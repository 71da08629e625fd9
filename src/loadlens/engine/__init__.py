"""The engine that is being introduced beside ``loadlens.profile``: a native tally, and what is made of it.

1. ``scanning.count`` runs a log once through tallies, one for each thread (``tally``, over the C library
   that ``binding`` binds), and merges them.
2. ``profile`` is what the merged tally comes to: the only state, exact and the same to the last bit however
   the rows were ordered or divided.
3. ``cells`` tells in which latency cell each wanted rank lies; ``refine`` looks once more at the rows of
   those cells (``selections``) and answers exactly. Cells too full to hold are split by further bits.
4. ``figures`` puts the table of a summary together; ``measure`` does all of it, in several parts of the
   keys where their counts outgrow the memory limit.

Nothing outside this package uses it yet: the figures that users see still come from ``loadlens.profile``, and
the tests hold both to the same independent formulation.
"""

__all__: list[str] = []
