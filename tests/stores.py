"""An S3 service on this machine, and what tests look into it with: a client that loadlens does not use."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

SECRET = "canary-5f1c-secret"  # its value must not turn up anywhere


@dataclass(frozen=True, kw_only=True)
class S3:
    """A bucket, by name ``logs``, of a service on loopback."""

    address: str
    client: Any

    @property
    def options(self) -> dict[str, str]:
        """Storage options that open it."""
        return {
            "aws_endpoint_url": self.address,
            "aws_allow_http": "true",
            "aws_region": "us-east-1",
            "aws_access_key_id": "tester",
            "aws_secret_access_key": SECRET,
        }

    @property
    def arguments(self) -> list[str]:
        """The same for the command line."""
        return [part for pair in self.options.items() for part in ("--storage-option", "=".join(pair))]

    def put(self, key: str, data: bytes) -> str:
        """Stores an object and tells its address."""
        self.client.put_object(Bucket="logs", Key=key, Body=data)
        return f"s3://logs/{key}"

    def put_tree(self, folder: Path, key: str) -> str:
        """Stores the files of a folder."""
        for path in folder.rglob("*"):
            if path.is_file():
                self.put(f"{key}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        return f"s3://logs/{key}"

    def tree(self, key: str = "") -> dict[str, bytes]:
        """What lies below a folder, by path."""
        prefix = f"{key}/" if key else ""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="logs", Prefix=prefix)
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return {
            name.removeprefix(prefix): self.client.get_object(Bucket="logs", Key=name)["Body"].read()
            for name in keys
        }

    def clear(self) -> None:
        """Empties the bucket."""
        for key in self.tree():
            self.client.delete_object(Bucket="logs", Key=key)


@contextmanager
def serving() -> Iterator[S3]:
    """An S3 service with an empty bucket, on a free port of loopback, until the context ends."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=address,
            region_name="us-east-1",
            aws_access_key_id="tester",
            aws_secret_access_key=SECRET,
        )
        client.create_bucket(Bucket="logs")
        yield S3(address=address, client=client)
    finally:
        server.stop()


def small_log(rows: int = 200, memory_size: int = 1024) -> pl.DataFrame:
    """A log in canonical columns, by a formula."""
    index = pl.int_range(rows, eager=True).cast(pl.Float64)
    return pl.DataFrame(
        {
            "invocation_latency": (index * 37 % 101) + 5.25,
            "start_time": index / 10,
            "end_time": index / 10 + 0.1,
            "memory_size": pl.repeat(memory_size, rows, dtype=pl.Int64, eager=True),
        }
    )


def parquet(frame: pl.DataFrame, folder: Path) -> bytes:
    """A frame as the bytes of a Parquet file."""
    path = folder / "bytes.parquet"
    frame.write_parquet(path)
    return path.read_bytes()


def write_new(folder: Path) -> None:
    (folder / "charts").mkdir()
    (folder / "charts" / "a.svg").write_text("new chart")
    (folder / "summary.csv").write_text("new csv")
    (folder / "summary.json").write_text("new")
    (folder / "z.html").write_text("new page")


NEW = {
    "charts/a.svg": b"new chart",
    "summary.csv": b"new csv",
    "summary.json": b"new",
    "z.html": b"new page",
}
