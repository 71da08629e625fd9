"""Runs that are ended from outside, and what they may leave."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.command_line import command
from tests.folders import OLD_REPORT, old_report, tree

FOLDERS = ("analyze", "compare")


MOST_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a run works: ``out``, the spill folder, the system's temporary files and nothing else."""

    folder: Path

    @classmethod
    def of(cls, folder: Path, logs: Path, name: str) -> "Place":
        for made in ("spill", "temporary", "work"):
            (folder / made).mkdir(parents=True)
        for log in logs.iterdir():
            (folder / "work" / log.name).symlink_to(log)
        (folder / "work" / "spill").symlink_to(folder / "spill")
        out = folder / "work" / "out"
        if name.startswith(FOLDERS):
            old_report(out)
        else:
            out.write_text("old", encoding="utf-8")
        return cls(folder=folder)

    def started(self, arguments: tuple[str, ...]) -> subprocess.Popen[str]:
        """A run of loadlens that works here, in a session of its own."""
        return subprocess.Popen(
            command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=self.folder / "work",
            env={**os.environ, "TMPDIR": str(self.folder / "temporary")},
            start_new_session=True,
        )

    def temporary(self) -> list[str]:
        """The temporary files and folders that are there."""
        hidden = [path.name for path in (self.folder / "work").iterdir() if path.name.startswith(".")]
        others = [path.name for made in ("spill", "temporary") for path in (self.folder / made).iterdir()]
        return [*hidden, *others]

    def is_busy(self) -> bool:
        return any(name.startswith((".out.", "loadlens-")) for name in self.temporary())


def processes_of(session: int) -> list[str]:
    """What still runs of a session that this process has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")
        except OSError:  # it has ended
            continue
        state, *numbers = rest.split()
        if int(numbers[2]) == session and state not in "ZX":
            found.append(name)
    return found


def is_old(out: Path) -> bool:
    return tree(out) == OLD_REPORT if out.is_dir() else out.read_bytes() == b"old"


def is_whole(out: Path) -> bool:
    """Whether an output is new, and has what is written to it last."""
    if out.is_dir():
        return (out / "report.html").read_text(encoding="utf-8").endswith("</html>\n")
    return out.read_bytes().endswith((b"PAR1", b"</testsuites>\n"))
