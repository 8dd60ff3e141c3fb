"""`TimerWheel` through the binding: a model test against `heapq`, the buffers it takes, its limits."""

from __future__ import annotations

import copy
import gc
import heapq
import pickle
import threading
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netfast.bench import timers as bench
from netfast.errors import ConfigError, NetfastError, ResourceError
from netfast.timer import TimerWheel

FOREVER = 2**64 - 1
DELAYS = st.integers(0, 64).flatmap(lambda bits: st.integers(0, 2**bits - 1))
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("arm"), DELAYS, st.booleans()),
        st.tuples(st.just("cancel"), st.integers(0, 10_000), st.none()),
        st.tuples(st.just("rearm"), st.integers(0, 10_000), DELAYS),
        st.tuples(st.just("expire"), DELAYS, st.one_of(st.none(), st.integers(0, 5))),
    ),
    max_size=60,
)


class Model:
    """What must hold, with a heap of deadlines and lazy deletion, as one writes it in Python."""

    def __init__(self) -> None:
        self.now = 0
        self.heap: list[tuple[int, int]] = []
        # By payload: handle, deadline, the latest time at which it may fire.
        self.armed: dict[int, tuple[int, int, int]] = {}

    def put(self, payload: int, handle: int, deadline: int, exact: bool) -> None:
        delay = max(0, deadline - self.now)
        late = 0 if exact else max(0, (4 * delay - 1) // 63)
        self.armed[payload] = (handle, deadline, min(FOREVER, max(deadline, self.now) + late))
        heapq.heappush(self.heap, (deadline, payload))

    def first_deadline(self) -> int | None:
        while self.heap:
            deadline, payload = self.heap[0]
            if payload in self.armed and self.armed[payload][1] == deadline:
                return deadline
            heapq.heappop(self.heap)
        return None


@settings(max_examples=300, deadline=None)
@given(OPERATIONS)
def test_random_operations_agree_with_a_heap(operations: list) -> None:
    wheel, model, exact = TimerWheel(), Model(), {}
    for number, (name, first, second) in enumerate(operations):
        payloads = list(model.armed)
        if name == "arm":
            deadline = min(FOREVER, model.now + first)
            model.put(number, wheel.arm(deadline, number, exact=second), deadline, second)
            exact[number] = second
        elif name == "cancel" and payloads:
            payload = payloads[first % len(payloads)]
            handle = model.armed.pop(payload)[0]
            assert wheel.cancel(handle) == payload
            assert wheel.cancel(handle) is None
            assert not wheel.rearm(handle, 5)
        elif name == "rearm" and payloads:
            payload = payloads[first % len(payloads)]
            deadline = min(FOREVER, model.now + second)
            handle = model.armed[payload][0]
            assert wheel.rearm(handle, deadline)
            assert wheel.get(handle) == (payload, deadline)
            model.put(payload, handle, deadline, exact[payload])
        elif name == "expire":
            model.now = min(FOREVER, model.now + first)
            check_expire(wheel, model, second)
        assert len(wheel) == len(model.armed)


def check_expire(wheel: TimerWheel, model: Model, limit: int | None) -> None:
    earliest, announced = model.first_deadline(), wheel.next_expiry()
    assert (earliest is None) == (announced is None)
    if announced is not None:
        assert earliest <= announced <= max(wheel.now, min(latest for _, _, latest in model.armed.values()))
    expired = wheel.expire(model.now, limit)
    assert bool(expired) == (announced is not None and announced <= model.now and limit != 0)
    for (payload, deadline), handle in zip(expired, expired.handles, strict=True):
        assert model.armed.pop(payload)[:2] == (handle, deadline)
        assert deadline <= model.now
    if not expired.more:
        assert all(latest > model.now for _, _, latest in model.armed.values())


def test_batches_do_what_single_operations_do() -> None:
    one, many = TimerWheel(), TimerWheel()
    deadlines = [(n * 7_919_777) % 1_000_003 for n in range(50_000)]
    handles = many.arm_many(deadlines, range(50_000))
    assert handles.tolist() == [one.arm(deadline, n) for n, deadline in enumerate(deadlines)]
    moved = [deadline * 3 for deadline in deadlines[:20_000]]
    assert many.rearm_many(handles[:20_000], moved) == 20_000
    assert all(one.rearm(handle, deadline) for handle, deadline in zip(handles, moved, strict=False))
    assert many.cancel_many(handles[10_000:40_000:2]) == 15_000
    assert all(one.cancel(handle) is not None for handle in handles[10_000:40_000:2])
    assert many.cancel_many(handles[10_000:40_000]) == 15_000
    assert all(one.cancel(handle) is not None for handle in handles[10_001:40_000:2])
    assert many.rearm_many(handles[10_000:10_010], [1] * 10) == 0
    first, second = one.expire(FOREVER), many.expire(FOREVER)
    assert list(first) == list(second)
    assert len(first) == 20_000
    assert first.handles == second.handles


def test_columns_are_read_only_and_outlive_the_wheel() -> None:
    wheel = TimerWheel()
    handles = wheel.arm_many([5, 6], [7, 8])
    expired = wheel.expire(now=6)
    del wheel
    gc.collect()
    for column in (expired.payloads, expired.deadlines, expired.handles, handles):
        assert (column.format, column.itemsize, column.readonly) == ("Q", 8, True)
    assert (expired.payloads.tolist(), expired.deadlines.tolist()) == ([7, 8], [5, 6])
    assert expired.handles == handles
    with pytest.raises(TypeError):
        handles[0] = 1
    assert "2 timers" in repr(expired)


@pytest.mark.parametrize(
    "values",
    [
        array("Q", [1, 2, 3]),
        array("q", [1, 2, 3]),
        memoryview(array("Q", [1, 2, 3])),
        memoryview(array("Q", [1, 9, 2, 9, 3, 9]))[::2],
        memoryview(array("L", [1, 2, 3])),
        [1, 2, 3],
        (1, 2, 3),
        range(1, 4),
    ],
    ids=["array-Q", "array-q", "memoryview", "strided", "array-L", "list", "tuple", "range"],
)
def test_any_buffer_or_sequence_of_integers_is_taken(values: object) -> None:
    wheel = TimerWheel()
    wheel.arm_many(values, values, exact=True)
    assert list(wheel.expire(3)) == [(1, 1), (2, 2), (3, 3)]


def test_numpy_arrays_are_taken() -> None:
    numpy = pytest.importorskip("numpy")
    wheel = TimerWheel()
    handles = wheel.arm_many(numpy.array([1, 2], dtype="int64"), numpy.array([3, 4], dtype="uint64"))
    assert wheel.cancel_many(numpy.asarray(handles)) == 2


@pytest.mark.parametrize("values", [array("d", [1.0]), [1.5], ["1"], "1", 5, None])
def test_what_is_no_column_of_integers_is_refused(values: object) -> None:
    wheel = TimerWheel()
    with pytest.raises(TypeError):
        wheel.arm_many(values)


@pytest.mark.parametrize("bad", [-1, 2**64])
def test_times_outside_64_bits_are_refused(bad: int) -> None:
    wheel = TimerWheel()
    calls = {"deadline": wheel.arm, "now": wheel.expire, "handle": wheel.cancel}
    for name, call in calls.items():
        with pytest.raises(ConfigError, match=f"{name} is {bad}: give an integer from 0"):
            call(bad)
    with pytest.raises(ConfigError, match="now is"):
        TimerWheel(bad)
    with pytest.raises(ConfigError, match=rf"deadlines\[1\] is {bad}"):
        wheel.arm_many([1, bad])
    with pytest.raises(ConfigError, match=r"deadlines\[1\] is -5"):
        wheel.arm_many(array("q", [1, -5]))
    assert len(wheel) == 0


def test_the_limit_is_an_error_and_a_batch_is_all_or_nothing() -> None:
    wheel = TimerWheel(limit=3)
    wheel.arm(1)
    with pytest.raises(ResourceError, match="3 timers are armed") as caught:
        wheel.arm_many([1, 2, 3])
    assert caught.value.limit == 3
    assert isinstance(caught.value, NetfastError)
    assert len(wheel) == 1
    wheel.arm_many([1, 2])
    with pytest.raises(ResourceError):
        wheel.arm(1)
    assert (len(wheel), wheel.limit) == (3, 3)
    for limit in (0, 2**32):
        with pytest.raises(ConfigError, match="limit must be from 1"):
            TimerWheel(limit=limit)
    with pytest.raises(ConfigError, match="1 payloads do not go with 2 deadlines"):
        wheel.arm_many([1, 2], [3])


def test_forged_handles_are_refused() -> None:
    wheel = TimerWheel()
    handle = wheel.arm(1, 2)
    for forged in (0, 1, handle - 1, handle + 1, handle + 2, handle + 2**32, FOREVER):
        assert wheel.cancel(forged) is None
        assert wheel.get(forged) is None
        assert not wheel.rearm(forged, 1)
    assert wheel.cancel_many([0, 1, FOREVER, handle, handle]) == 1


def test_the_clock_is_clamped_and_limits_of_expire_lose_nothing() -> None:
    wheel = TimerWheel(now=100)
    wheel.arm_many(range(101, 111), range(10), exact=True)
    expired = wheel.expire(200, limit=4)
    assert (expired.payloads.tolist(), expired.more, wheel.next_expiry()) == ([0, 1, 2, 3], True, 200)
    assert wheel.expire(50, limit=6).payloads.tolist() == [4, 5, 6, 7, 8, 9]
    assert (wheel.now, wheel.backward_steps, wheel.next_expiry()) == (200, 1, None)
    assert repr(wheel) == "<netfast.TimerWheel: 0 of 16777216 timers, now=200>"


def test_threads_may_share_a_wheel() -> None:
    wheel = TimerWheel()
    payloads: list[int] = []
    batch = array("Q", range(1, 40_001))

    def work(number: int) -> None:
        for _ in range(5):
            handles = wheel.arm_many(batch, array("Q", [number]) * len(batch))
            assert wheel.cancel_many(handles[::2]) == len(batch) // 2

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    payloads.extend(wheel.expire(FOREVER).payloads)
    assert {number: payloads.count(number) for number in range(4)} == dict.fromkeys(range(4), 100_000)


def test_pickle_and_copy_are_refused() -> None:
    wheel = TimerWheel()
    for thing in (wheel, wheel.expire(0)):
        with pytest.raises(TypeError):
            pickle.dumps(thing)
        with pytest.raises(TypeError):
            copy.copy(thing)


def test_errors_survive_pickle() -> None:
    error = pickle.loads(pickle.dumps(ResourceError("full", limit=3)))
    assert (str(error), error.limit) == ("full", 3)


def test_the_benchmark_yields_a_line_for_each_operation() -> None:
    lines = list(bench.run(timers=2_000, runs=2))
    assert [line["metric"] for line in lines] == ["arm", "rearm", "cancel", "expire"]
    for line in lines:
        assert line["min"] <= line["value"] <= line["max"]
        assert (line["peer"], line["unit"], line["n"]) == ("heapq", "ops/s", 2)
        assert line["ratio"] == pytest.approx(line["value"] / line["peer_value"])
