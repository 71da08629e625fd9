"""Property tests draw the same few examples in every run, so that a red build means a changed program."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.stores import S3, serving

settings.register_profile(
    "steady",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("steady")


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
