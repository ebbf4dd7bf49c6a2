"""Where many simulations run: worker processes here, or a Dask cluster; the same chunks, the same numbers.

A chunk is a whole piece of work that can be done again: it is known by its number, draws its own seeds, and returns
rows. A worker that dies takes nothing with it: the pool is built anew and what it held is run again; only where that
happens `TRIES` times with nothing done in between does it stop, since a chunk may kill every worker it meets.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from ...errors import InputError, SolverError

TRIES = 3
CONNECT_S = 20
AHEAD = 2  # chunks a worker has waiting: enough to keep it busy, few enough to keep memory bounded

Work = Callable[[int], Any]
GoOn = Callable[[], bool]


@contextmanager
def pool(workers: int, prepare: Callable[..., None], given: tuple[Any, ...]) -> Iterator[Executor]:
    """Worker processes, each prepared once; started afresh ('spawn'), so that no state of this process leaks in. Where
    somebody interrupts, they are ended at once: a chunk under way is lost and run again next time."""
    made = ProcessPoolExecutor(
        max_workers=workers,
        mp_context=get_context("spawn"),
        initializer=_begin,
        initargs=(prepare, given),
    )
    try:
        yield made
    except KeyboardInterrupt:
        for process in list((getattr(made, "_processes", None) or {}).values()):
            process.terminate()
        raise
    finally:
        made.shutdown(wait=True, cancel_futures=True)


def _begin(prepare: Callable[..., None], given: tuple[Any, ...]) -> None:
    """In a worker: an interrupt is for the process that waits, which ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare(*given)


@contextmanager
def cluster(address: str) -> Iterator[tuple[Executor, int]]:
    """A Dask cluster and how many threads it has; chunks that a lost worker held are run again by Dask itself."""
    try:
        import distributed
    except ImportError as e:
        raise InputError("--cluster needs Dask; install valuestack[cluster]") from e
    connect: Any = distributed.Client
    try:
        client = connect(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as e:
        raise InputError(
            f"--cluster {address}: no scheduler answers there ({e}); start one with `dask scheduler`, or leave "
            "--cluster away to use this machine"
        ) from e
    try:
        threads = sum(w.get("nthreads", 1) for w in client.scheduler_info()["workers"].values())
        yield client.get_executor(retries=TRIES, pure=False), max(1, threads)
    finally:
        client.close()


def run_here(
    work: Work,
    numbers: Iterable[int],
    *,
    workers: int | None,
    prepare: Callable[..., None],
    given: tuple[Any, ...],
    go_on: GoOn | None = None,
) -> Iterator[tuple[int, Any]]:
    """(number, result) of each chunk as it is done, in worker processes. `work` must be importable by its name. go_on:
    whether another chunk may begin; once it may not, what is under way is ended and no more is begun.

    Errors: whatever a chunk raised; SolverError where workers died `TRIES` times in a row with nothing done.
    """
    left, died = list(numbers), 0
    count = max(1, min(workers or os.cpu_count() or 1, len(left) or 1))
    while left:
        with pool(count, prepare, given) as executor:
            try:
                # Who may be told to stop has nothing waiting: a pool would run that too.
                most = count * AHEAD if go_on is None else count
                for number, result in _stream(executor, work, list(left), most, go_on):
                    left.remove(number)
                    died = 0
                    yield number, result
                return
            except BrokenProcessPool as e:
                died += 1
                if died >= TRIES:
                    under_way = ", ".join(map(str, left[: count * AHEAD]))
                    raise SolverError(
                        f"workers died {TRIES} times in a row on chunks {under_way}; they may have run out of memory: "
                        "use smaller chunks or fewer workers"
                    ) from e


def run_on_cluster(
    address: str, work: Work, numbers: Iterable[int], go_on: GoOn | None = None
) -> Iterator[tuple[int, Any]]:
    """The same on a Dask cluster; `work` brings along what it needs."""
    with cluster(address) as (executor, threads):
        yield from _stream(executor, work, list(numbers), threads * (AHEAD if go_on is None else 1), go_on)


def _stream(
    executor: Executor, work: Work, numbers: list[int], most: int, go_on: GoOn | None = None
) -> Iterator[tuple[int, Any]]:
    """Results as they come, with at most `most` chunks on their way."""
    waiting: dict[Future[Any], int] = {}
    todo = iter(numbers)
    try:
        while True:
            while len(waiting) < most and (go_on is None or go_on()):
                number = next(todo, None)
                if number is None:
                    break
                waiting[executor.submit(work, number)] = number
            if not waiting:
                return
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                number = waiting.pop(future)
                yield number, future.result()
    finally:
        for future in waiting:
            future.cancel()
