"""Executors of the command line: processes of this machine, or a Dask cluster."""

import logging
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from multiprocessing import active_children, get_context, parent_process, resource_tracker
from pathlib import Path
from types import ModuleType
from typing import Final

import polars as pl

from loadlens.engine.scan import spill_place
from loadlens.errors import UsageError, WorkerError
from loadlens.profile import MeasureOptions
from loadlens.storage.secrets import reason_of, shown

__all__ = ["workforce"]

_MOST_WORKERS: Final = 9999  # as many as four digits tell
_LOCAL: Final = re.compile(r"local:([1-9]\d{0,3})")
_ADDRESS: Final = re.compile(r"(tcp|tls|ucx|ws|wss)://[^\s/?#@]+:\d+")
_SECONDS_TO_CONNECT: Final = 10
_SECONDS_TO_DROP_WORK: Final = 30
_SECONDS_BETWEEN_LOOKS: Final = 0.01

_THREADS: Final = "POLARS_MAX_THREADS"
_WARNINGS: Final = "PYTHONWARNINGS"


@contextmanager
def workforce(
    options: MeasureOptions = MeasureOptions(),
    *,
    cluster: str | None = None,
    workers: int | None = None,
    seconds_to_connect: float = _SECONDS_TO_CONNECT,
) -> Iterator[MeasureOptions]:
    """Workers to measure logs with, who are there for as long as the context lasts.

    Args:
        options: how to measure; its memory limit is for all processes of this machine together, or for each
            worker elsewhere.
        cluster: address of the scheduler of a Dask cluster, such as ``tcp://host:8786``, or ``local:N`` for
            one of N processes of this machine.
        workers: how many processes of this machine, without Dask.
        seconds_to_connect: how long the scheduler has to answer.

    Yields:
        How each of the workers measures, and the executor that gives them their work, if there are any.

    Raises:
        UsageError: an argument cannot be understood, or Dask is not installed.
        WorkerError: the cluster does not answer.
    """
    if cluster is not None and workers is not None:
        raise UsageError("--cluster and --workers both say who works; give one of them")
    local = _LOCAL.fullmatch(cluster) if cluster is not None else None
    here = int(local[1]) if local else workers
    if here is None:
        with _connected(cluster, seconds_to_connect) if cluster is not None else nullcontext() as executor:
            yield replace(options, executor=executor)
        return
    if not 1 <= here <= _MOST_WORKERS:
        raise UsageError(f"--workers: got {here}, expected 1 to {_MOST_WORKERS:,}")
    limit = options.memory_limit
    share = limit // here if isinstance(limit, int) else limit
    options = replace(options, memory_limit=share)
    _start_tracker()
    start = _dask_processes if local else _processes
    # What a worker that is killed leaves behind goes with the folder.
    with spill_place(options.spill_folder) as folder, _shared_threads(here), start(here, folder) as executor:
        yield replace(options, executor=executor, spill_folder=folder)


@contextmanager
def _processes(count: int, _folder: Path) -> Iterator[Executor]:
    others = set(active_children())
    # A forked process would inherit locks that threads of Polars hold.
    with ProcessPoolExecutor(count, get_context("spawn"), initializer=_leave_with_parent) as pool:
        try:
            # In a thread of its own, as an interrupt would leave a process half-started.
            with _deaf_to_interrupts(), ThreadPoolExecutor(1) as starter:
                starter.submit(_start, pool, count).result()
            yield pool
        except BaseException:
            _drop_work(pool)
            for process in set(active_children()) - others:
                process.terminate()  # else the partitions under way would have to be waited for
            raise


def _start(pool: Executor, count: int) -> None:
    for _ in range(count):
        pool.submit(os.getpid)  # starts a process


def _drop_work(pool: Executor) -> None:
    """Waits until a pool has let go of all work that has not begun.

    One that loses its processes before that prints a traceback about work that was cancelled. It takes work
    in order: once the last is running or cancelled, none before it is left.
    """
    with suppress(BrokenExecutor):
        last = pool.submit(os.getpid)
        pool.shutdown(wait=False, cancel_futures=True)
        deadline = time.monotonic() + _SECONDS_TO_DROP_WORK
        while not (last.running() or last.done()) and time.monotonic() < deadline:
            time.sleep(_SECONDS_BETWEEN_LOOKS)


def _leave_with_parent() -> None:
    """Ends this process when the one that started it is gone, even if that was killed."""
    parent = parent_process()
    assert parent is not None  # noqa: S101  # this runs in processes of a pool

    def leave() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()


def _start_tracker() -> None:
    """Starts the process that removes what an interrupt leaves of a pool; it need not say so to users.

    Started later, by a pool, it would also lift the block of interrupts.
    """
    warnings = ",".join(filter(None, [os.environ.get(_WARNINGS), "ignore:resource_tracker"]))
    with _environment(_WARNINGS, warnings):
        resource_tracker.ensure_running()


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes that are started meanwhile hear no Ctrl-C, which a terminal sends to all: this one does."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _shared_threads(processes: int) -> Iterator[None]:
    """Gives each process that is started meanwhile its part of this one's threads.

    Polars asks the environment alone, and once, when it is imported.
    """
    with _environment(_THREADS, str(max(pl.thread_pool_size() // processes, 1))):
        yield


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Processes that are started meanwhile find a value in their environment."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def _connected(cluster: str, seconds: float) -> Iterator[Executor]:
    if not _ADDRESS.fullmatch(cluster):
        raise UsageError(
            f"--cluster: got {shown(cluster)!r}, expected tcp://HOST:PORT of a scheduler, without user "
            f"or password, or local:N"
        )
    distributed = _distributed()
    if cluster.startswith("tls") and not distributed.Security().get_connection_args("client")["ssl_context"]:
        raise UsageError(
            f"--cluster: {cluster} needs certificates; name them in Dask's configuration, under "
            f"distributed.comm.tls"
        )
    try:
        client = distributed.Client(cluster, timeout=seconds, set_as_default=False)
    except (OSError, TypeError, ValueError, RuntimeError) as error:  # TypeError: no certificates for tls://
        raise WorkerError(
            f"--cluster: no scheduler answers at {shown(cluster)} within {seconds:g} s "
            f"({reason_of(error)}); start one with `dask scheduler`, or check the address"
        ) from None
    with client:
        yield client.get_executor(pure=False)


@contextmanager
def _dask_processes(count: int, folder: Path) -> Iterator[Executor]:
    distributed = _distributed()
    import dask

    with dask.config.set({"temporary-directory": str(folder)}):
        with _deaf_to_interrupts():
            machine = distributed.LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.ERROR,
            )
        with machine, distributed.Client(machine, set_as_default=False) as client:
            yield client.get_executor(pure=False)


def _distributed() -> ModuleType:
    try:
        import distributed
    except ImportError as error:
        raise UsageError(
            "--cluster: needs Dask, which is not installed; run: pip install 'loadlens[dask]'"
        ) from error
    return distributed
