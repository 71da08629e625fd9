"""The engine: from a canonical log and a plan to exact figures by configuration.

1. ``counting`` runs a log once through tallies, one for each thread (``tally``, over the C library that
   ``binding`` binds), and merges them.
2. ``readout`` makes a profile of the merged tally: the only state, exact and the same to the last bit
   however the rows were ordered or divided.
3. ``cells`` tells in which latency cell each wanted rank lies; ``refine`` looks once more at the rows of
   those cells (``selections``) and answers exactly. Cells too full to hold are split by further bits. Where
   rows are not looked at again, as of saved profiles, ``estimates`` answers from the cells alone.
   Windows of time are one key more, in a layer of their own with wide buckets, which the same scan counts;
   they are looked at only where what the buckets tell leaves open what hangs on them.
4. ``figures`` puts the table of a summary together; ``measuring`` does all of it, in this process or by the
   workers of an executor (``distributed``, ``partitions``), for several plans at once; ``asking`` ties a plan
   to what is made of its figures.
"""

from loadlens.engine.measuring import Question, ask, ask_all, measure, measure_all, on_good_rows

__all__ = ["Question", "ask", "ask_all", "measure", "measure_all", "on_good_rows"]
