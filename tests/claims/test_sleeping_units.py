"""Units that sleep, and the one that was flung when the loss jumped: the ledger's row against the tables."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from ledger_row import row
from scipy.stats import spearmanr

from esgd.comparison import losses_of, median_lead
from esgd.runs import RunFolder, read_csv

RESULTS = Path(__file__).resolve().parents[2] / "results"
JUMP = RESULTS / "fig5" / "mnist-jump"
UNITS, ARMS = (read_csv(JUMP / f"{name}.csv") for name in ("units", "arms"))
LOSSES = {(r["run"], r["epoch"]): r["loss"] for r in read_csv(RESULTS / "fig5" / "mnist" / "records.csv")}


def factor(found: dict[str, Any]) -> float:
    """How many times as far as its layer's median a unit moved."""
    return found["moved"] / found["median_moved"]


def hidden(method: str, epoch: int) -> list[dict[str, Any]]:
    """The rows of the hidden sigmoid layers that begin at an epoch."""
    return [r for r in UNITS if (r["method"], r["epoch"] - 10) == (method, epoch) and r["asleep"] is not None]


@pytest.mark.claim("SLP")
def test_esgds_net_sleeps_and_rmsprops_does_not():
    epochs = (10, 260, 290)
    esgd, rmsprop = ([sum(int(r["asleep"]) for r in hidden(m, e)) for e in epochs] for m in ("esgd", "rmsprop"))
    assert min(esgd) > 20 * max(rmsprop)
    assert esgd[2] > 2 * esgd[1]
    constant = sum(int(r["constant"]) for e in epochs for r in hidden("esgd", e))
    assert constant >= 0.99 * sum(esgd)
    said = row("SLP").correct
    sizes = {r["layer"]: int(r["units"]) for r in read_csv(RESULTS / "fig5" / "mnist-damping" / "asleep.csv")}
    units = sum(sizes.values())
    said_of_esgd = (
        f"After 10 epochs {esgd[0]} of its {units:,} hidden sigmoids are saturated on all of 10,000 images"
    )
    assert (
        f"{said_of_esgd}, {esgd[1]} after 260, {esgd[2]} after 290, all but {sum(esgd) - constant} of them" in said
    )
    assert f"of them at one value; of RMSProp's {rmsprop[0]}, {rmsprop[1]} and {rmsprop[2]}." in said


@pytest.mark.claim("SLP")
def test_the_late_jump_is_one_unit():
    """It and no other of its layer, on both of its sides; and D learns of it twenty epochs late."""
    found = max((r for r in UNITS if r["method"] == "esgd"), key=factor)
    ends = [e for run, e in LOSSES if run == found["run"] and e > 50]
    jump = max(ends, key=lambda e: LOSSES[found["run"], e] - LOSSES[found["run"], e - 5])
    assert (found["epoch"], found["awake"]) == (jump, 0)
    assert found["next_moved"] < 0.01 * found["moved"]
    assert found["out_share"] > 0.999
    assert found["out_diagonal"] < 1e-6
    after = next(
        r for r in UNITS if r["method"] == "esgd" and (r["epoch"], r["layer"]) == (jump + 10, found["layer"])
    )
    assert after["unit"] == found["unit"]
    said = row("SLP").correct
    assert (
        f"moved {factor(found):,.0f} times as far as its layer's median unit in the ten epochs up to {jump}" in said
    )
    assert (
        f"its D was {found['diagonal']:.1e} at {jump - 10}, where {found['typical']:.2f} is typical, still "
        f"{after['diagonal']:.1e} at {jump}, and {after['after']:.1f} at {jump + 10}" in said
    )
    farthest = max(factor(r) for r in UNITS if r["method"] == "rmsprop")
    assert f"the farthest move of a unit of RMSProp in any ten epochs is {farthest:.1f} times" in said


@pytest.mark.claim("SLP")
def test_a_flung_sleeper_alone_is_no_jump():
    flung = [r for r in UNITS if r["method"] == "esgd" and r["layer"] == "decoder.0" and factor(r) > 300]
    before = [r for r in flung if r["epoch"] < 270]
    assert max(r["awake"] for r in before) < 1e-3
    higher = [LOSSES[r["run"], r["epoch"]] - LOSSES[r["run"], r["epoch"] - 10] for r in before]
    assert max(higher) < 0.1
    low, high = min(map(factor, before)), max(map(factor, before))
    assert sorted(Counter(r["unit"] for r in before).values()) == [2, 2]
    assert sum(r["out_share"] > 0.5 for r in before) == 1
    said = f"Two units of that layer had been flung before, twice each, by {low:.0f} to {high:.0f} times, and once"
    assert said in row("SLP").correct


@pytest.mark.claim("SLP")
def test_larger_dampings_keep_single_units_nearer():
    """From the snapshot of epoch 260 on; no arm jumps, the unchanged one neither."""
    reach, losses = defaultdict(dict), defaultdict(list)
    for r in ARMS:
        arm = r["damping"], r["beta"]
        reach[arm][r["seed"]] = max(r["moved"], reach[arm].get(r["seed"], 0))
        if r["epoch"] == 270:
            losses[arm].append(r["loss"])
    small, middle, large = (list(reach[damping, None].values()) for damping in (1e-4, 1e-3, 1e-2))
    assert len(small) == len(middle) == len(large) == 2
    assert min(small) > 3 * max(middle + large)
    assert max(max(found) for found in losses.values()) < 60
    shown = [f"{a:.1f} and {b:.1f}" for a, b in (small, middle, large)]
    said = row("SLP").correct
    assert f"by {shown[0]} in an epoch at 1e-4, by {shown[1]} at 1e-3 and by {shown[2]} at 1e-2" in said
    assert "no arm jumps, so that they do not say what prevents a jump" in said
    record = next(r["run"] for r in UNITS if r["method"] == "esgd")
    same = {r["epoch"]: r["loss"] for r in ARMS if (r["damping"], r["beta"], r["seed"]) == (1e-4, None, 0)}
    assert same[265] == pytest.approx(LOSSES[record, 265], rel=1e-5)  # the same run, up to rounding
    assert LOSSES[record, 270] - same[270] > 30


@pytest.mark.claim("SLP")
def test_after_five_epochs_the_loss_goes_with_the_number_asleep():
    folder = RESULTS / "fig5" / "mnist-damping"
    asleep: dict[str, int] = defaultdict(int)
    for r in read_csv(folder / "asleep.csv"):
        asleep[r["run"]] += int(r["asleep"])
    settings = {run["run"]: run["config"] for run in RunFolder(folder.name, folder.parent).manifest()["runs"]}
    losses = {r["run"]: r["loss"] for r in read_csv(folder / "records.csv") if r["epoch"] == 5}
    assert asleep.keys() == losses.keys() == settings.keys()
    arms: dict[tuple, list[int]] = defaultdict(list)
    for run, c in settings.items():
        arms[c["damping"], c["warmup_probes"], c["update_every"]].append(asleep[run])
    order = spearmanr([asleep[run] for run in losses], list(losses.values())).statistic
    assert order > 0.8
    small, middle, large, often = (
        " and ".join(map(str, arms[arm])) for arm in ((1e-4, 10, 20), (1e-3, 10, 20), (1e-2, 10, 20), (1e-4, 10, 5))
    )
    said = row("SLP").correct
    assert (
        f"a rank correlation of {order:.2f}: at 1e-4 it is {small} of them, at 1e-3 {middle}, at 1e-2 {large}"
        in said
    )
    assert f"products four times as often at 1e-4 {often}." in said


@pytest.mark.claim("SLP")
def test_that_the_sleepers_make_the_lag_does_not_follow():
    raced = read_csv(RESULTS / "fig5" / "mnist" / "records.csv")
    lag = median_lead(*(losses_of(raced, m, 0) for m in ("rmsprop", "esgd")), (50, 250))
    asleep = {e: sum(int(r["asleep"]) for r in hidden("esgd", e)) for e in (50, 250)}
    assert lag[250] < lag[50] / 4
    assert asleep[250] > 0.85 * asleep[50]
    folder = RESULTS / "fig5" / "mnist-damping"
    counts: dict[str, int] = defaultdict(int)
    for r in read_csv(folder / "asleep.csv"):
        counts[r["run"]] += int(r["asleep"])
    losses = {r["run"]: r["loss"] for r in read_csv(folder / "records.csv") if r["epoch"] == 5}
    few = [run for run, count in counts.items() if count < 30]
    order = spearmanr([counts[run] for run in few], [losses[run] for run in few]).statistic
    assert len(few) == 6
    said = row("SLP").correct
    assert f"it goes from {lag[50]:.1f} at epoch 50 to {lag[250]:.1f} at 250, while {asleep[50]} and " in said
    assert f"and {asleep[250]} units sleep, and among the six runs of five epochs with fewer than thirty" in said
    assert f"thirty sleepers the rank correlation is {order:.2f}" in said


@pytest.mark.claim("SLP", "F5")
def test_at_a_hundredth_the_net_stays_awake_and_esgd_is_level_with_rmsprop():
    """The recorded runs of three seeds with another damping and nothing else changed."""
    folder = RESULTS / "fig5" / "mnist-awake"
    configs = {run["run"]: run["config"] for run in RunFolder(folder.name, folder.parent).manifest()["runs"]}
    recorded = RunFolder("mnist", RESULTS / "fig5").manifest()["runs"]
    small = {run["config"]["seed"]: run["config"] for run in recorded if run["config"]["method"] == "esgd"}
    for c in configs.values():
        other = small[c["seed"]]
        assert {key for key in c if c[key] != other[key]} - {"epochs"} == {"damping"}
        assert (c["damping"], other["damping"]) == (1e-2, 1e-4)
    asleep: dict[tuple[int, int], int] = defaultdict(int)
    for r in read_csv(folder / "asleep.csv"):
        asleep[configs[r["run"]]["seed"], r["epoch"]] += int(r["asleep"])
    seeds = (0, 1, 2)
    raced = read_csv(RESULTS / "fig5" / "mnist" / "records.csv")
    calm = [losses_of(read_csv(folder / "records.csv"), "esgd", seed) for seed in seeds]
    esgd, rmsprop = ([losses_of(raced, method, seed) for seed in seeds] for method in ("esgd", "rmsprop"))
    assert max(calm[0]) == row("SLP").epochs
    assert max(asleep.values()) < 10
    said = row("SLP").correct
    counts = ", ".join(str(asleep[seed, 10]) for seed in seeds)
    assert f"{counts} of the units sleep after 10 epochs, and {asleep[0, 300]} on seed 0 after 300" in said

    at_100 = {
        name: [median(x for e, x in run.items() if 75 < e <= 100) for run in runs]
        for name, runs in (("calm", calm), ("e", esgd), ("r", rmsprop))
    }
    assert max(at_100["calm"]) < min(at_100["e"])
    assert max(at_100["calm"]) > min(at_100["r"])
    assert min(at_100["calm"]) < max(at_100["r"])
    shown = {name: ", ".join(f"{x:.1f}" for x in losses) for name, losses in at_100.items()}
    losses = f"its losses at 100 epochs (medians over 25) are {shown['calm']}, RMSProp's {shown['r']}, those at"
    assert f"{losses} 1e-4 {shown['e']};" in said
    gap = median_lead(rmsprop[0], calm[0], (100, 200, 300))
    assert max(map(abs, gap.values())) < 1
    words = ", ".join(f"{x:+.1f} at {end}".replace("-", "−") for end, x in gap.items())
    assert f"on seed 0 it is above RMSProp by {words} (medians over 25 epochs)" in said
    late = [calm[0][epoch] for epoch in sorted(calm[0]) if epoch >= 50]
    assert max(b - a for a, b in pairwise(late)) < 3  # no jump
    within = "and on seed 0 the two are within a nat of each other up to 300 (medians over 25 epochs;"
    assert within in row("F5").correct
    assert max(map(abs, median_lead(rmsprop[0], calm[0], range(100, 301, 25)).values())) < 1
