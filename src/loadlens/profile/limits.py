"""How much memory a run may take, and what follows for the sizes of its steps."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from loadlens.errors import InputError, UsageError
from loadlens.sources.files import DataFile

__all__ = ["Limits", "default_memory_limit"]

_SHARE_OF_MACHINE: Final = 0.5
_SMALLEST_LIMIT: Final = 256 * 2**20
_BYTES_PER_CANDIDATE: Final = 48
_MOST_CANDIDATES: Final = 6_000_000
_CGROUP_LIMITS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def default_memory_limit() -> int:
    """Half of the memory that this process may use, in bytes: the machine's, or its cgroup's if less."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(min([physical, *_cgroup_limits()]) * _SHARE_OF_MACHINE)


def _cgroup_limits() -> list[int]:
    texts = [
        path.read_text(encoding="ascii").strip() for name in _CGROUP_LIMITS if (path := Path(name)).exists()
    ]
    return [int(text) for text in texts if text.isdecimal()]  # "max" means no limit


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Sizes of the steps of a run under a memory limit.

    Attributes:
        memory: the limit in bytes.
    """

    memory: int

    @classmethod
    def of(cls, memory_limit: int | None) -> "Limits":
        """The limits under ``memory_limit`` bytes; without one, under the machine's default.

        Raises:
            UsageError: the limit is too small to work with.
        """
        memory = default_memory_limit() if memory_limit is None else memory_limit
        if not isinstance(memory, int | float) or not _SMALLEST_LIMIT <= memory < math.inf:
            got = f"{memory:,}" if isinstance(memory, int | float) else repr(memory)
            raise UsageError(
                f"memory_limit: got {got} bytes, expected at least {_SMALLEST_LIMIT:,} (256 MiB)"
            )
        return cls(memory=memory)

    @property
    def candidates(self) -> int:
        """How many rows may be fetched into memory."""
        return min(self.memory // 8 // _BYTES_PER_CANDIDATE, _MOST_CANDIDATES)

    @property
    def tally_bytes(self) -> int:
        """How large the tally of one thread may become, which grows by doubling; merging takes one more."""
        return self.memory // 4 // (pl.thread_pool_size() + 1)

    @property
    def profile_bytes(self) -> int:
        """How large the counts of a log may become as a profile, for a time several times over."""
        return self.memory * 2 // 3

    @property
    def text_bytes(self) -> int:
        """How large text files may be to be parsed into memory instead of into a spill file."""
        return min(self.memory // 16, 64 * 2**20)

    def refuse_huge_row_groups(self, files: Sequence[DataFile]) -> None:
        """Refuses Parquet files whose row groups, one for each thread, do not fit in half of the limit.

        Raises:
            InputError: names the files, and what to change.
        """
        allowed = self.memory // 2
        threads = pl.thread_pool_size()
        problems = [
            f"{file.path}: has row groups of up to {_mib(file.row_group_bytes)}, of which {threads} threads "
            f"hold one each; expected at most {_mib(allowed // threads)}: write the file with smaller row "
            f"groups, or raise the memory limit of {_mib(self.memory)}"
            for file in files
            if file.row_group_bytes * threads > allowed
        ]
        if problems:
            raise InputError(*problems)


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
