"""The loops behind `netfast bench reassembly` and `idwrap`: they measure what they say, and their bounds hold."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import netfast
from netfast._netfast import BENCH_ATTACKS, BenchReassembler
from netfast._netfast import bench_attack as attacked
from netfast._netfast import bench_wrap as sent_with
from netfast.bench import idwrap, reassembly, report
from netfast.cli import main

MORE = idwrap.Loss("5%", 0.05, None, 4)
BURSTS = idwrap.Loss("5%_bursts", 0.05, 10, 4)


def wrong(tally: dict[str, int]) -> int:
    return tally["corrupted"] + tally["caught"]


class TestExperiment:
    @pytest.mark.parametrize("loss", [MORE, BURSTS], ids=lambda loss: loss.name)
    @pytest.mark.parametrize("rate", [30e6, 1e9, 100e9])
    def test_without_protections_it_is_as_arithmetic_says(self, loss: idwrap.Loss, rate: float) -> None:
        run = idwrap.Run(4, rate, loss, False)
        tally, sent = run.measure(), run.round * run.rounds
        joined, right = idwrap.expected(loss, run.rounds, run.waits)
        assert wrong(tally) == pytest.approx(sent * joined, rel=0.04)
        assert tally["delivered"] == pytest.approx(sent * right, rel=0.01)
        assert tally["lost"] == pytest.approx(2 * sent * loss.part, rel=0.04)
        assert tally["virtual_ns"] == pytest.approx(run.wrap * run.rounds * 1e9)

    @pytest.mark.parametrize("loss", [MORE, BURSTS], ids=lambda loss: loss.name)
    @pytest.mark.parametrize("rate", [10e6, 30e6, 1e9, 100e9])
    @pytest.mark.parametrize("version", [4, 6])
    def test_with_protections_nothing_is_joined_wrongly(
        self, version: int, rate: float, loss: idwrap.Loss
    ) -> None:
        if version == 6:
            run = idwrap.Run(6, rate * 10, loss, True)
            tally = sent_with(
                int(run.rate), loss.part, burst=loss.burst, datagrams=1 << 18, stride=2_048, ipv6=True
            )
            sent = 1 << 18
        else:
            run = idwrap.Run(4, rate, loss, True)
            tally, sent = run.measure(), run.round * run.rounds
        assert wrong(tally) == 0
        # And nothing that came whole is lost for it.
        assert tally["delivered"] == pytest.approx(sent * loss.pairs()[0], rel=0.005)

    @pytest.mark.parametrize(
        "only", [{"wrap_safe": True}, {"max_disorder": 64}], ids=["wrap_safe", "max_disorder"]
    )
    def test_each_protection_is_enough_for_ipv4(self, only: dict[str, Any]) -> None:
        off = {"wrap_safe": False, "max_disorder": 0, "tombstone_ns": 0}
        tally = sent_with(10**9, 0.05, datagrams=4 << 16, **(off | only))
        assert wrong(tally) == 0
        assert wrong(sent_with(10**9, 0.05, datagrams=4 << 16, **off)) > 10_000

    def test_ipv6_has_the_same_problem_beyond_859_gigabits(self) -> None:
        off = {"wrap_safe": False, "max_disorder": 0, "tombstone_ns": 0}
        for rate, happens in ((800e9, False), (1e12, True)):
            tally = sent_with(int(rate), 0.05, ipv6=True, stride=1 << 16, datagrams=4 << 16, **off)
            assert (wrong(tally) > 10_000) is happens

    def test_the_checksum_lets_one_in_65535_pass(self) -> None:
        off = {"wrap_safe": False, "max_disorder": 0, "tombstone_ns": 0}
        tallies = [sent_with(10**10, 0.2, datagrams=1 << 20, seed=seed, **off) for seed in range(3)]
        corrupted, joined = sum(tally["corrupted"] for tally in tallies), sum(map(wrong, tallies))
        assert corrupted > 0
        low, high = idwrap.interval(corrupted, 1e-6)
        assert low < joined * idwrap.PASSES < high

    def test_the_same_seed_gives_the_same_run(self) -> None:
        first, again, other = (sent_with(10**9, 0.01, datagrams=1 << 17, seed=seed) for seed in (1, 1, 2))
        assert first == again != other

    def test_numbers_out_of_range_are_refused(self) -> None:
        for field, arguments in (
            ("rate", {"rate": 0, "loss": 0.1}),
            ("loss", {"rate": 10**9, "loss": 0.6}),
            ("loss", {"rate": 10**9, "loss": math.nan}),
            ("burst", {"rate": 10**9, "loss": 0.1, "burst": 0.5}),
            ("stride", {"rate": 10**9, "loss": 0.1, "stride": 0}),
            ("datagrams", {"rate": 10**9, "loss": 0.1, "datagrams": 0}),
        ):
            with pytest.raises(netfast.ConfigError) as caught:
                sent_with(**arguments)
            assert caught.value.option == field


class TestArithmetic:
    def test_rates_from_which_on_identifications_come_round(self) -> None:
        assert idwrap.limit(4) == pytest.approx(26.2e6, rel=0.001)
        assert idwrap.limit(6) == pytest.approx(859e9, rel=0.001)
        assert [idwrap.Run(4, rate, MORE, False).waits for rate in (26e6, 27e6, 100e6)] == [0, 1, 3]

    def test_bursts_lose_halves_less_often(self) -> None:
        both, one, none = MORE.pairs()
        assert (both, one, none) == pytest.approx((0.95**2, 0.05 * 0.95, 0.05**2))
        assert both + 2 * one + none == pytest.approx(1)
        assert BURSTS.pairs()[1] == pytest.approx(0.05 / 10)

    def test_in_the_long_run_half_of_all_are_joined_wrongly(self) -> None:
        for part in (0.001, 0.01):
            joined, right = idwrap.expected(idwrap.Loss("", part, None, 0), 100_000, 1)
            assert joined == pytest.approx(0.5, abs=0.02)
            assert joined + right == pytest.approx(1, abs=0.03)

    def test_intervals_of_rare_events(self) -> None:
        assert idwrap.interval(0) == pytest.approx((0, 3.689), abs=0.001)
        assert idwrap.interval(10) == pytest.approx((4.795, 18.390), abs=0.001)
        assert idwrap.interval(0, 0.05)[1] == pytest.approx(2.996, abs=0.001)
        low, high = idwrap.interval(1_000)
        assert (low, high) == pytest.approx((939, 1_064), abs=1)


def short() -> list[dict[str, Any]]:
    runs = [idwrap.Run(4, 1e9, idwrap.Loss("1%", 0.01, None, 3), on) for on in (False, True)]
    return list(idwrap.run(runs))


class TestReport:
    def test_lines_and_sums(self) -> None:
        lines = short()
        assert [line["metric"] for line in lines] == ["ipv4_1G_1%_off", "ipv4_1G_1%_on", "all_off", "all_on"]
        for line in lines:
            assert line["min"] <= line["value"] <= line["max"]
            assert len(idwrap.cells(line)) == len(idwrap.CELLS)
            json.dumps(line)
        assert lines[1]["corrupted"] + lines[1]["caught"] == 0 == lines[3]["caught"]
        assert lines[0]["caught"] == lines[2]["caught"] > 0

    def test_the_page_holds_all_it_needs(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        pytest.importorskip("plotly")
        lines = short()
        monkeypatch.setattr("netfast.bench.idwrap.run", lambda: iter(lines))
        path = tmp_path / "idwrap.html"
        done = CliRunner().invoke(main, ["bench", "idwrap", "--json", "--html", str(path)])
        assert done.exit_code == 0, done.output
        assert len(done.stdout.splitlines()) == len(lines)
        page = path.read_text()
        assert "<script src=" not in page
        assert "<link" not in page
        assert "IPv4 1Gb/s" in page

    def test_the_page_is_only_of_the_experiment(self, tmp_path: Path) -> None:
        done = CliRunner().invoke(main, ["bench", "timers", "--html", str(tmp_path / "no.html")])
        assert done.exit_code == 2
        assert not (tmp_path / "no.html").exists()

    def test_without_plotly_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "plotly", None)
        with pytest.raises(netfast.NetfastError, match="netfast\\[report\\]"):
            report.need_plotly()


class TestReassembly:
    def test_ordinary_fragments_become_their_datagrams_without_a_copy(self) -> None:
        frames = reassembly.frames(1_600)
        whole = netfast.Reassembler().push(frames, now=0)
        assert {len(datagram) for datagram in whole} == {14 + 20 + 5_008, 14 + 40 + 5_008}
        assert {datagram.checksum for datagram in whole} == {"good"}
        for verifies in (False, True):
            cost, datagrams, copied = BenchReassembler(frames).run(verifies=verifies)
            assert (datagrams, copied) == (400, 0)
            assert cost > 0

    def test_tiny_fragments_are_one_datagram_copied_once(self) -> None:
        frames = reassembly.tiny()
        [datagram] = netfast.Reassembler().push(frames, now=0)
        assert len(datagram) == 14 + 65_535
        assert datagram.checksum == "good"
        _, datagrams, copied = BenchReassembler(frames).run()
        assert datagrams == 1
        assert copied <= 1

    @pytest.mark.parametrize("name", BENCH_ATTACKS)
    def test_attacks_are_bounded_and_hurt_nobody_else(self, name: str) -> None:
        damage = attacked(name, 1 << 17)
        assert damage["held"] <= damage["limit"] == 64 << 20
        assert damage["memory"] <= damage["limit"] + (32 << 20)
        # Comparisons for the place of a fragment: logarithmic, however many there are.
        assert damage["steps"] <= 128
        assert damage["others"] > 1_000
        assert damage["others_lost"] == 0

    def test_attacks_from_one_source_have_its_share(self) -> None:
        for name in ("fragment_smack", "one_source"):
            damage = attacked(name, 1 << 17)
            # Those of others come on top.
            assert damage["held"] <= damage["limit"] / 8 + (4 << 20)

    def test_what_it_does_not_know_is_refused(self) -> None:
        with pytest.raises(netfast.ConfigError) as caught:
            attacked("elbow")
        assert caught.value.option == "name"
        with pytest.raises(ValueError, match="frames"):
            BenchReassembler([])
        # Something that is no fragment is not counted as one.
        with pytest.raises(AssertionError):
            BenchReassembler([bytes(60)]).run()
