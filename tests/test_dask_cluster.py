"""DaskHuberRegressor on a cluster of processes: bits, tasks, bytes, lost workers."""

import gc
import os
import signal
import threading
import time

import numpy as np
import pytest

dask = pytest.importorskip("dask")

import dask.array as da  # noqa: E402
from distributed import Client, LocalCluster, wait  # noqa: E402

from skhuber import HuberRegressor  # noqa: E402
from skhuber.dask import DaskHuberRegressor  # noqa: E402
from skhuber.dask import _engines as engines  # noqa: E402

pytestmark = [
    pytest.mark.compiled,
    # (What distributed says of workers that were killed, or that end late.)
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Sending large graph"),
    pytest.mark.filterwarnings("ignore:Port 8787 is already in use"),
]
N, P, CHUNKS = 6000, 20, 11


def one_worker():
    """A cluster of one process with one thread."""
    return LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        memory_limit="2GB",
    )


@pytest.fixture(scope="module")
def cluster():
    with (
        dask.config.set(
            {
                "distributed.comm.timeouts.connect": "30s",
                # (LocalCluster gives up a name that was free at two instants.)
                "distributed.deploy.lost-worker-timeout": "1h",
                # (Of chunks that two workers hold it drops either copy.)
                "distributed.scheduler.active-memory-manager.start": False,
            }
        ),
        one_worker() as cluster,
        Client(cluster) as client,
    ):
        yield cluster, client


def chunk(k):
    rng = np.random.default_rng(k)
    X = rng.normal(size=(N, P))
    y = X @ np.arange(P) + rng.standard_t(2, size=N)
    return np.column_stack([X, y])


def data():
    """X and y from tasks, which can be run again."""
    made = [dask.delayed(chunk, pure=True)(k) for k in range(CHUNKS)]
    parts = [da.from_delayed(one, (N, P + 1), float) for one in made]
    table = da.concatenate(parts)
    return table[:, :P], table[:, P]


def bits(model):
    return (model.coef_.tobytes(), model.intercept_, model.scale_, model.n_sweeps_)


def cut_of_columns(k):
    """A chunk whose columns lie one behind the other, with others' rows between."""
    return np.asfortranarray(np.vstack([chunk(k), chunk(k + 1)]))[:N]


def same(part):
    return part


def strides(part):
    return part.strides


def n_tasks(client):
    def count(dask_scheduler):
        return sum("huber" in str(key) for key in dask_scheduler.tasks)

    return client.run_on_scheduler(count)


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        gc.collect()
        time.sleep(0.1)
    assert condition()


def workers(cluster, client, n):
    # (Not by Client.wait_for_workers: it replaces the cluster's list of workers, and
    # the message that a worker has gone then finds it missing: KeyError on closing.)
    cluster.scale(n)
    wait_until(lambda: statuses(client) == ["running"] * n)


def statuses(client):
    """Of all workers: one that is about to leave is not running."""
    return [one["status"] for one in client.scheduler_info()["workers"].values()]


def test_equal_bits_for_any_number_of_workers(cluster):
    cluster, client = cluster
    X, y = data()
    found = []
    for n in (1, 2, 3):
        workers(cluster, client, n)
        found.append([bits(DaskHuberRegressor(client=client).fit(X, y))])
        if n == 2:
            model = DaskHuberRegressor(client=client, scale="mad").fit(X, y)
            found[0].append(bits(model))
        if n == 3:
            X, y = dask.persist(X, y)
            mad = DaskHuberRegressor(client=client, scale="mad").fit(X, y)
            found[-1].append(bits(mad))
    assert found[0][0] == found[1][0] == found[2][0]
    assert found[0][1] == found[2][1]
    with Client(processes=False, dashboard_address=None, set_as_default=False) as here:
        assert bits(DaskHuberRegressor(client=here).fit(*data())) == found[0][0]
    X, y = dask.compute(*data(), scheduler="threads")
    local = HuberRegressor().fit(X, y)
    model = DaskHuberRegressor(client=client).fit(*data())
    np.testing.assert_allclose(model.coef_, local.coef_, rtol=1e-10, atol=1e-10)
    assert model.n_sweeps_ <= local.n_sweeps_ + 2
    wait_until(lambda: not n_tasks(client))


def test_bits_after_a_transfer(cluster):
    """Chunks cut from arrays in F order, which are sent in C order."""
    cluster, client = cluster
    workers(cluster, client, 2)
    found = [bits(DaskHuberRegressor(client=client).fit(*data()))]
    first, second = client.ncores()
    held = client.map(cut_of_columns, range(CHUNKS), workers=[first], pure=False)
    wait(held)
    moved = client.map(same, held, workers=[second], pure=False)
    wait(moved)
    for chunks, worker in ((held, first), (moved, second)):
        is_there = [worker in holders for holders in client.who_has(chunks).values()]
        assert is_there == [True] * CHUNKS
        parts = [da.from_delayed(one, (N, P + 1), float) for one in chunks]
        table = da.concatenate(parts)
        X, y = table[:, :P], table[:, P]
        found.append(bits(DaskHuberRegressor(client=client).fit(X, y)))
    assert len({client.submit(strides, one[0]).result() for one in (held, moved)}) == 2
    assert found == [found[0]] * 3


@pytest.mark.parametrize("scale", ["joint", "mad"])
def test_bits_after_a_spill(scale, monkeypatch):
    """Blocks that a worker writes to disk, since it may hold three of eleven."""
    block = N * (P + 1) * 8
    settings = {
        "target": 3.5 * block / 2e9,
        "spill": False,
        "pause": False,
        "terminate": False,
    }
    names = {f"distributed.worker.memory.{name}": v for name, v in settings.items()}
    spilled = []
    total = engines.OnWorkers.total

    def counted(self, *args, **options):
        found = total(self, *args, **options)
        on_disk = self._client.run(lambda dask_worker: len(dask_worker.data.slow))
        spilled.append(sum(on_disk.values()))
        return found

    monkeypatch.setattr(engines.OnWorkers, "total", counted)
    with (
        dask.config.set(names),
        one_worker() as cluster,
        Client(cluster) as client,
    ):
        found = bits(DaskHuberRegressor(client=client, scale=scale).fit(*data()))
    monkeypatch.undo()
    assert min(spilled) >= CHUNKS - 4
    with Client(processes=False, dashboard_address=None, set_as_default=False) as here:
        model = DaskHuberRegressor(client=here, scale=scale)
        assert found == bits(model.fit(*data()))


def test_a_sweep_is_one_task_for_each_worker(cluster, monkeypatch):
    cluster, client = cluster
    workers(cluster, client, 2)
    messages, moved, answers = [], [], []
    send, gather, sync = client.map, client.gather, client.sync

    def awaited(function, *args, **options):
        answers.append(function.__name__)
        return sync(function, *args, **options)

    def counted(*args, key, **options):
        result = send(*args, key=key, **options)
        if messages:  # what it made is released after the next message was sent
            assert set(messages[-1]) <= client.futures.keys()
        messages.append(key)
        return result

    def weighed(futures, **options):
        result = gather(futures, **options)
        from distributed.protocol import serialize

        moved.append(
            sum(len(memoryview(frame).cast("B")) for frame in serialize(result)[1])
        )
        return result

    monkeypatch.setattr(client, "map", counted)
    monkeypatch.setattr(client, "sync", awaited)
    monkeypatch.setattr(client, "gather", weighed)
    X, y = data()
    model = DaskHuberRegressor(client=client).fit(X, y)
    sent = [key for keys in messages for key in keys]
    assert sum("huber-sweep" in key for key in sent) <= 2 * model.n_sweeps_
    # Beside the sweeps: facts of the chunks, and the sample.
    assert len(messages) <= model.n_sweeps_ + 2
    assert len(sent) <= 2 * len(messages)
    # The client waits for results, and four times more: for the memory of the workers,
    # for chunks, for where they are, and for the end.
    assert len(answers) <= len(messages) + 4
    from skhuber._fit.plan import Shape, make_plan

    n = N * CHUNKS
    plan = make_plan(Shape(n, P, n * P, "rows", n), compiled=False)
    sample = plan.sample_rows * (P + 1) * 8
    # Sums of loss and gradient, or a Gram matrix, for each subtree.
    most = sample + 2 * 4 * 8 * (3 * P**2 + 600) * len(moved)
    assert sum(moved) <= most
    assert sum(moved) < 0.1 * n * P * 8


@pytest.mark.parametrize("scale", ["joint", "mad"])
def test_killed_worker(cluster, monkeypatch, scale):
    cluster, client = cluster
    workers(cluster, client, 2)
    X, y = data()
    expected = bits(DaskHuberRegressor(client=client, scale=scale).fit(X, y))
    pids = list(client.run(os.getpid).values())
    total, calls = engines.OnWorkers.total, []

    def killing(self, *args, **options):
        calls.append(1)
        if len(calls) == 3:
            os.kill(pids[0], signal.SIGKILL)
        return total(self, *args, **options)

    monkeypatch.setattr(engines.OnWorkers, "total", killing)
    found = bits(DaskHuberRegressor(client=client, scale=scale).fit(X, y))
    assert len(calls) > 3
    assert found == expected


def test_streaming_survives_a_killed_worker(cluster, monkeypatch):
    cluster, client = cluster
    workers(cluster, client, 2)
    X, y = data()
    expected = bits(DaskHuberRegressor(client=client).fit(X, y))
    monkeypatch.setattr(engines, "memory_of", lambda client: 0.0)
    pids = list(client.run(os.getpid).values())
    timer = threading.Timer(0.5, os.kill, (pids[0], signal.SIGKILL))
    timer.start()
    found = bits(DaskHuberRegressor(client=client).fit(X, y))
    timer.join()
    assert found == expected


def test_scattered_data_that_are_lost(cluster, monkeypatch):
    cluster, client = cluster
    workers(cluster, client, 2)
    held = client.scatter([chunk(k) for k in range(4)])
    parts = [da.from_delayed(one, (N, P + 1), float) for one in held]
    table = da.concatenate(parts)
    X, y = table[:, :P], table[:, P]
    pids = client.run(os.getpid)
    where = next(iter(client.who_has(held)[held[1].key]))
    total, killed = engines.OnWorkers.total, []

    def killing(self, *args, **options):
        if not killed:
            os.kill(pids[where], signal.SIGKILL)
            killed.append(time.monotonic())
        return total(self, *args, **options)

    monkeypatch.setattr(engines.OnWorkers, "total", killing)
    model = DaskHuberRegressor(client=client)
    with pytest.raises(RuntimeError, match=r"chunk \d of 4 .* is lost .*scattered"):
        model.fit(X, y)
    assert time.monotonic() - killed[0] < 10
    assert not hasattr(model, "coef_")


def test_an_interrupt_leaves_no_tasks(cluster, monkeypatch):
    cluster, client = cluster
    workers(cluster, client, 2)
    X, y = data()
    total, calls = engines.OnWorkers.total, []

    def interrupted(self, *args, **options):
        calls.append(1)
        if len(calls) == 3:
            signal.setitimer(signal.ITIMER_REAL, 0.001)
        return total(self, *args, **options)

    def stop(signum, frame):
        raise KeyboardInterrupt

    monkeypatch.setattr(engines.OnWorkers, "total", interrupted)
    before = signal.signal(signal.SIGALRM, stop)
    try:
        with pytest.raises(KeyboardInterrupt):
            DaskHuberRegressor(client=client).fit(X, y)
    finally:
        signal.signal(signal.SIGALRM, before)
    wait_until(lambda: not n_tasks(client))


def test_two_fits_at_once(cluster):
    cluster, client = cluster
    workers(cluster, client, 2)
    X, y = data()
    expected = bits(DaskHuberRegressor(client=client).fit(X, y))
    found = []

    def fit():
        found.append(bits(DaskHuberRegressor(client=client).fit(X, y)))

    threads = [threading.Thread(target=fit) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 2
