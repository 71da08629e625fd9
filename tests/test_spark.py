"""The example of docs/clusters.md that makes profiles on Spark."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import loadlens
from tests.profile.cases import keyed, log_of, spread

DOCUMENT = Path(__file__).parent.parent / "docs" / "clusters.md"


def example() -> str:
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)
    (found,) = [block for block in blocks if block.startswith("# spark_profiles.py")]
    return found


@pytest.mark.slow
def test_profiles_made_on_spark_merge_to_that_of_the_log(tmp_path: Path) -> None:
    pytest.importorskip("pyspark")
    frame = keyed(log_of([*spread(4500), *[-1.0] * 500]))
    for number, part in enumerate(frame.iter_slices(2000)):
        part.write_parquet(tmp_path / f"{number}.parquet")
    script, out = tmp_path / "spark_profiles.py", tmp_path / "run.profile"
    script.write_text(example(), encoding="utf-8")
    environment = {
        **os.environ,
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_SUBMIT_ARGS": "--master local[2] --conf spark.ui.enabled=false pyspark-shell",
    }
    command = [sys.executable, str(script), str(tmp_path / "*.parquet"), str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    got = loadlens.summarize(out, ["memory_size"])
    expected = loadlens.summarize(frame, ["memory_size"], exact=False)
    assert got.summary["num_invocations"].to_list() == expected.summary["num_invocations"].to_list()
    for name in ("invocation_latency_mean", "invocation_latency_p99", "tps_max"):
        np.testing.assert_allclose(got.summary[name], expected.summary[name], rtol=1e-8)
