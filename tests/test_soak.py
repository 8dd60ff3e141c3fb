"""Ten seconds of iperf3 through `netfast run` over a lossy wire: nothing grows. Ten minutes: benches/RESULTS.md."""

from __future__ import annotations

import pytest

from live_net import why_not
from netfast.bench import soak

MISSING = why_not("ping", "iperf3")
pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
]

LOSS = 0.002


def test_nothing_grows_over_a_lossy_wire() -> None:
    told = list(soak.soak(10, 1.0, loss=LOSS))
    rows = [each for each in told if isinstance(each, soak.Row)]
    (ends,) = (each for each in told if not isinstance(each, soak.Row))
    assert len(rows) == 10
    assert soak.growth(rows) == []
    assert {row.descriptors for row in rows[2:]} == {rows[2].descriptors}
    assert max(row.blocks for row in rows) <= 8_192
    # It was a test of something: both families moved bytes, packets were lost, and sent again.
    assert rows[-1].lost > 50
    assert rows[-1].retransmits > 50
    for end in ends.values():
        assert end["bytes"] > 10_000_000
        assert end["retransmits"] > 0


def row(**values: int) -> soak.Row:
    """A row in which most is as ever."""
    unimportant = ("received_bytes", "lost", "retransmits", "resident_kib", "blocks", "queued", "connections")
    usual = dict.fromkeys(unimportant, 0)
    return soak.Row(
        **{"seconds": 1, "memory_kib": 16_000, "descriptors": 14, "threads": 1, **usual, **values}
    )


def test_what_grows_is_told() -> None:
    flat = [row() for _ in range(10)]
    assert soak.growth(flat) == []
    assert soak.growth([*flat, row(descriptors=15)]) == ["descriptors: 14 after 1 s, then 15"]
    assert soak.growth([*flat, row(memory_kib=21_000)]) == ["memory_kib: 16,000 after 1 s, then 21,000"]
    # Before it has settled it may.
    assert soak.growth([row(memory_kib=1), *flat]) == []


def test_growth_takes_two_rows(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        soak.main(["--minutes", "0.5"])
    assert "two rows at least" in capsys.readouterr().err
