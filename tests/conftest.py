"""Property tests draw the same few examples in every run, so that a red build means a changed program.

With ``pytest -m slow`` they draw more, again the same in every run.
"""

import gc
import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

from tests.extent import THOROUGH
from tests.stores import S3, serving

# Programs that tests start, and pytest's own workers, keep what they compile. Where a container forbids it,
# most programs would spend longer on compiling the package anew than on what they are started for.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

settings.register_profile(
    "steady",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=5,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile(THOROUGH, settings.get_profile("steady"), max_examples=50)
settings.load_profile("steady")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markexpr == "slow":
        settings.load_profile(THOROUGH)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leaves garbage alone: what is made here stays, and looking through it takes a third of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Property tests are slow tests too where they draw more examples."""
    if settings.get_current_profile_name() == THOROUGH:
        for item in items:
            if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
                item.add_marker(pytest.mark.slow)


@pytest.fixture
def no_drawings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts are left out, which take most of an analysis' time."""
    from tests.folders import leave_out_drawings

    leave_out_drawings(monkeypatch)


@pytest.fixture(scope="session")
def s3_service() -> Iterator[S3]:
    """One S3 service for all tests of a process."""
    with serving() as service:
        yield service


@pytest.fixture
def s3(s3_service: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """An empty bucket, and no credentials in the environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    s3_service.clear()
    return s3_service
