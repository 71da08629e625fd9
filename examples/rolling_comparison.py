"""Keeps a profile of each day and compares the newest with the seven days before it."""

import sys
from datetime import date, timedelta
from pathlib import Path

import loadlens


def week_before(day: date, profiles: Path) -> list[Path]:
    """The profiles that there are of the last seven days, the oldest first."""
    days = (day - timedelta(days=back) for back in range(7, 0, -1))
    return [path for past in days if (path := profiles / f"{past}.profile").exists()]


def main(day: date, logs: Path, profiles: Path, reports: Path) -> int:
    """Returns 1 if a label became worse. Only the logs of ``day`` are read, and once."""
    today = profiles / f"{day}.profile"
    try:
        loadlens.profile_log(logs / str(day), today, by=["label"], overwrite=True)
        analysis = loadlens.analyze(
            [today],
            reports / str(day),
            by=["label"],
            baseline=week_before(day, profiles) or None,
            min_effect=0.1,
            overwrite=True,
        )
    except loadlens.LoadlensError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return error.exit_code
    comparison = analysis.decisions.comparison
    if comparison is None:
        print(f"{day}: no profile of the last seven days to compare with")
        return 0
    print(comparison.keys.select("label", "verdict", "deciding"))
    return 1 if comparison.verdicts["worse"] else 0


if __name__ == "__main__":
    sys.exit(main(date.fromisoformat(sys.argv[1]), *map(Path, sys.argv[2:])))
