"""What the ledger says of the measures along runs on MNIST, in the terms of test_measured_runs.py."""

from __future__ import annotations

import math

import pytest
from ledger_row import ROOT, row
from measured_rows import above, errors, folder_of, recorded, values, with_error

from esgd.comparison import losses_of, median_lead
from esgd.figures.trajectory import read_measures
from esgd.runs import read_csv

OWN = ("cosine", "own", "equilibration")


@pytest.mark.claim("F4", "SYN")
def test_rmsprops_average_does_not_leave_equilibration_in_300_epochs_of_mnist():
    measures = recorded("F4", "mnist")
    own, error = (read(measures, "rmsprop", *OWN) for read in (values, errors))
    farthest, last = max(own, key=own.get), measures.last
    assert farthest == 10
    between = [own[e] for e in own if 10 < e < last]
    assert min(between) < own[last] < max(between)
    assert all(own[e] + 3 * error[e] < 0.07 for e in own)
    at_most = f"at most {with_error(measures, 'rmsprop', farthest, 3, *OWN)} from D_E"
    said = row("F4").correct
    span = f"at epoch 10, {min(between):.3f} to {max(between):.3f} from 20 to 200 and at the end "
    assert f"average is {at_most} on its own run, {span}" in said
    assert f"{with_error(measures, 'rmsprop', last, 3, *OWN)} (on all 60,000" in said
    assert at_most in row("SYN").correct
    jacobi, exact = (values(measures, "rmsprop", "cosine", a, "equilibration") for a in ("jacobi", "rmsprop"))
    shown = [f"{min(line.values()):.2f} to {max(line.values()):.2f}" for line in (jacobi, exact)]
    assert f"Jacobi's distance there is {shown[0]}, the exact second moment's {shown[1]}." in said
    assert all(exact[e] > own[e] + 3 * error[e] for e in own)
    assert {found["seed"] for m in measures.methods for found in measures.line(m, "loss")} == {0}
    raced = read_csv(ROOT / "results" / "fig5" / "mnist" / "records.csv")
    lead = median_lead(*(losses_of(raced, method, 0) for method in ("rmsprop", "esgd")), (100, 250))
    assert f"lead over ESGD goes from {lead[100]:.1f} at epoch 100 to {lead[250]:.1f} at 250" in row("SYN").correct


@pytest.mark.claim("F4")
def test_esgds_own_mean_is_farther_and_far_after_the_jump():
    measures, said = recorded("F4", "mnist"), row("F4").correct
    own = values(measures, "esgd", *OWN)
    before = [own[e] for e in sorted(own) if e < 265]
    assert before == sorted(before, reverse=True)
    assert own[10] > 5 * values(measures, "rmsprop", *OWN)[10]
    shown = {e: with_error(measures, "esgd", e, 3, *OWN) for e in (10, 100, 260, 300)}
    assert f"{shown[10]} at epoch 10, {shown[100]} at 100, {shown[260]} at 260, and {shown[300]} at 300" in said
    rms = {e: [values(measures, "esgd", "rms", what)[e] for what in ("own", "equilibration")] for e in (260, 300)}
    assert rms[260][0] < 1.1 * rms[260][1]
    assert rms[300][0] > 10 * rms[300][1]


@pytest.mark.claim("F4")
def test_what_parts_esgds_mean_from_equilibration_is_its_memory():
    rows = read_csv(ROOT / "results" / "fig4" / "mnist-own" / "distances.csv")
    rows = [r for r in rows if r["damping"] == 1e-4 and r["quantity"] == "cosine"]
    found = {(r["epoch"], r["a"], r["b"]): (r["value"], r["stderr"]) for r in rows}
    epochs = sorted({epoch for epoch, *_ in found})
    measured = values(recorded("F4", "mnist"), "esgd", *OWN)
    assert set(epochs) <= set(measured)
    for epoch in epochs:  # the same snapshots, sample and probes
        assert found[epoch, "own", "equilibration"][0] == pytest.approx(measured[epoch], rel=1e-4)
        assert found[epoch, "own", "fresh"][0] > 5 * found[epoch, "fresh", "equilibration"][0]
    fresh = max(found[epoch, "fresh", "equilibration"] for epoch in epochs)
    at_most = f"is at most {fresh[0]:.3f} ± {fresh[1]:.3f} from D_E"
    assert f"weights held still, {at_most} (results/fig4/mnist-own)" in row("F4").correct


@pytest.mark.claim("F4")
def test_jacobis_own_mean_is_far_at_first():
    measures = recorded("F4", "mnist")
    own = values(measures, "jacobi", *OWN)
    assert own[10] == max(own.values())
    shown = [with_error(measures, "jacobi", e, 3, *OWN) for e in (10, 300)]
    assert (
        f"Jacobi's own mean is there {shown[0]} from D_E on its run at epoch 10 and {shown[1]} at 300."
        in row("F4").correct
    )


@pytest.mark.claim("F6")
def test_figure_6_on_mnist_so_far():
    measures, said = recorded("F6", "mnist"), row("F6").correct
    assert measures.methods == ["sgd", "rmsprop", "jacobi", "esgd"]
    bound = 0.15**2
    over = {
        m: {e: above(measures, m, e, bound, "dominance") for e in values(measures, m, "dominance")}
        for m in measures.methods
    }
    clear = {m: [e for e, by in sorted(found.items()) if by > 3] for m, found in over.items()}
    first = {m: found[0] for m, found in clear.items() if found}
    assert first == {"rmsprop": 60, "jacobi": 30, "esgd": 40}
    for method, begin in first.items():  # from there on at each, but after ESGD's jump
        left = [e for e in over[method] if e >= begin and e not in clear[method]]
        assert left == ([300] if method == "esgd" else [])
    assert max(found[10] for found in over.values()) < -3
    assert abs(over["esgd"][300]) < 3
    assert max(abs(by) for e, by in over["sgd"].items() if e >= 50) < 3
    shown = {(m, e): with_error(measures, m, e, 4, "dominance") for m, found in over.items() for e in found}
    assert f"from 60 on for RMSProp ({shown['rmsprop', 60]} there, {shown['rmsprop', 300]} at 300; on all" in said
    assert f"from 30 on for Jacobi ({shown['jacobi', 30]} there, {shown['jacobi', 300]} at 300)" in said
    assert f"from 40 to 260 for ESGD ({shown['esgd', 40]} and {shown['esgd', 260]})" in said
    assert (
        f"At 300, after its jump, ESGD's {shown['esgd', 300]} is not separated from it, nor is SGD's at any" in said
    )
    sgd = ", ".join(f"{shown['sgd', e]} at {e}" for e in (50, 100, 300))
    assert f"from 50 on ({sgd})." in said
    for method in measures.methods:
        plugin = values(measures, method, "dominance_plugin")
        assert plugin[10] < 0.15 < min(x for e, x in plugin.items() if e >= 40)
    assert max(values(measures, "sgd", "dominance_plugin")[e] for e in (20, 30)) < 0.15
    text = "the plug-in is above 15 % for all four methods at each snapshot from epoch 40 to 300, as printed"
    assert text in said


@pytest.mark.claim("F4", "F6", "DIR")
def test_what_all_examples_of_mnist_say_of_one_snapshot():
    """As on CURVES the sample agrees, but in the steps."""
    checks = {}
    for claim, what, digits in (("F4", OWN, 3), ("F6", ("dominance",), 4)):
        measures, full = recorded(claim, "mnist"), read_measures(folder_of(claim, "mnist") / "full.csv")
        assert (full.methods, full.last) == (["rmsprop"], 300)
        (a, b), noise = ([read(m, "rmsprop", *what)[300] for m in (full, measures)] for read in (values, errors))
        assert abs(a - b) < 3 * math.hypot(*noise)
        checks[claim] = with_error(full, "rmsprop", 300, digits, *what)
    assert f"(on all 60,000 examples {checks['F4']}), where the paper" in row("F4").correct
    assert f"at 300; on all 60,000 examples {checks['F6']}), from 30 on" in row("F6").correct
    measures, full = recorded("DIR", "mnist"), read_measures(folder_of("DIR", "mnist") / "full.csv")
    whole, sample = (m.at("rmsprop", 300, "step", "equilibration", "rmsprop") for m in (full, measures))
    assert whole > sample + 0.2
    assert f"all 60,000 examples give {whole:.2f} for the sample's {sample:.2f}." in row("DIR").correct


def nearest_to_sgds_last(measures) -> dict[str, int]:
    """Of each other run the snapshot whose loss is nearest to SGD's last."""
    end = measures.at("sgd", measures.last, "loss")
    lines = {m: values(measures, m, "loss") for m in measures.methods if m != "sgd"}
    return {m: min(losses, key=lambda e: abs(losses[e] - end)) for m, losses in lines.items()}


@pytest.mark.claim("F6o")
def test_dominance_where_sgd_is_equally_low_on_mnist():
    measures, said = recorded("F6o", "mnist"), row("F6o").correct
    at, last = nearest_to_sgds_last(measures), measures.last
    assert at == {"rmsprop": 100, "jacobi": 200, "esgd": 260}
    mine, error = (read(measures, "sgd", "dominance")[last] for read in (values, errors))
    twice = set()
    for method, epoch in at.items():
        theirs, noise = (read(measures, method, "dominance")[epoch] for read in (values, errors))
        assert theirs - mine > 3 * math.hypot(noise, error)
        if theirs - 2 * mine > 3 * math.hypot(noise, 2 * error):
            twice.add(method)
    assert twice == {"jacobi", "esgd"}
    shown = {m: with_error(measures, m, e, 4, "dominance") for m, e in at.items()}
    assert f"above its {with_error(measures, 'sgd', last, 4, 'dominance')} by more than three" in said
    assert f"RMSProp's {shown['rmsprop']} at epoch 100, Jacobi's {shown['jacobi']} at 200 and" in said
    assert f"ESGD's {shown['esgd']} at 260, above twice of it Jacobi's and ESGD's." in said


@pytest.mark.claim("SAT")
def test_saturated_sigmoids_where_sgd_is_equally_low_on_mnist():
    measures, said = recorded("SAT", "mnist"), row("SAT").correct
    share = {m: measures.at(m, e, "saturated") for m, e in nearest_to_sgds_last(measures).items()}
    loss = {m: measures.at(m, e, "loss") for m, e in nearest_to_sgds_last(measures).items()}
    mine, end = (measures.at("sgd", measures.last, q) for q in ("saturated", "loss"))
    assert min(share.values()) > 2.5 * mine
    assert (
        f"SGD's loss of {end:.1f} at 300 epochs, all three have at least two and a half times SGD's {mine:.3f}:"
        in said
    )
    at = {m: f"{share[m]:.3f} ({loss[m]:.1f})" for m in share}
    first = at["rmsprop"].replace("(", "(loss ")
    assert f"RMSProp {first}, Jacobi {at['jacobi']}, ESGD {at['esgd']}." in said


@pytest.mark.claim("NEG")
def test_mnist_has_more_negative_curvature_in_most_pairs_of_a_run_and_an_epoch():
    digits, curves = (recorded("NEG", data) for data in ("mnist", "curves"))
    said = row("NEG").correct
    more = {}
    for method in digits.methods:
        mine, theirs = (values(m, method, "negative_energy") for m in (digits, curves))
        more |= {(method, e): mine[e] > theirs[e] for e in sorted(mine.keys() & theirs.keys())}
        begin = {"rmsprop": 10, "esgd": 10, "jacobi": 20, "sgd": 40}[method]  # below a fiftieth
        below = [e for e in sorted(mine) if above(digits, method, e, 0.02, "negative_energy") < -3]
        assert below == [e for e in sorted(mine) if e >= begin]
    epochs = sorted({e for _, e in more})
    assert epochs == [*range(10, 101, 10), 200, 300]
    assert f"at the {len(epochs)} epochs from 10 to 300 that both have" in said
    assert f"in {sum(more.values())} of {len(more)} pairs of a run and an epoch, which are of four runs" in said
    fewer = {m: [e for e in epochs if not more[m, e]] for m in digits.methods}
    at = {m: " and ".join(", ".join(map(str, found)).rsplit(", ", 1)) for m, found in fewer.items()}
    text = f"on RMSProp's run at {at['rmsprop']}, on Jacobi's at {at['jacobi']}, on SGD's at {at['sgd']}"
    rest = f"on ESGD's at {at['esgd']}. From epoch 40 on it is below a fiftieth there too, on each run."
    assert f"{text} and {rest}" in said


@pytest.mark.claim("DIR")
def test_steps_of_rmsprop_and_equilibration_on_mnist():
    measures = recorded("DIR", "mnist")
    cosines = []
    for method in measures.methods:
        cosine, jacobi = (values(measures, method, "step", "equilibration", a) for a in ("rmsprop", "jacobi"))
        noise, other = (errors(measures, method, "step", "equilibration", a) for a in ("rmsprop", "jacobi"))
        assert all(cosine[e] - jacobi[e] > 3 * math.hypot(noise[e], other[e]) for e in cosine)
        cosines += cosine.values()
    assert f"it is {min(cosines):.2f} to {max(cosines):.2f} along the four runs" in row("DIR").correct


@pytest.mark.claim("JCC")
def test_jacobis_distance_on_both_data_sets_and_its_losses():
    digits, curves = (recorded("JCC", data) for data in ("mnist", "curves"))
    said, what = row("JCC").correct, ("cosine", "jacobi", "equilibration")
    z, shown = {}, {}
    for method in digits.methods:
        lines = [[read(m, method, *what) for read in (values, errors)] for m in (curves, digits)]
        for e in sorted(lines[0][0].keys() & lines[1][0].keys()):
            (a, noise), (b, other) = ([found[e] for found in line] for line in lines)
            z[method, e], shown[method, e] = (b - a) / math.hypot(noise, other), f"{a:.3f} and {b:.3f}"
    clear = {m: [e for (n, e), by in z.items() if n == m and by > 3.5] for m in digits.methods}
    tens = list(range(10, 101, 10))
    assert clear["sgd"] == tens
    assert clear["jacobi"] == [10, 60, 70, 80, 90, 100, 200, 300]
    assert (clear["rmsprop"], clear["esgd"]) == ([], [200, 300])
    text = "on SGD's run, at 10 and from 60 on on Jacobi's and at 200 and 300 on ESGD's (at 300:"
    assert f"at each of the epochs 10 to 100 {text}" in said
    assert min(z.values()) > -3.5  # nowhere the other way round
    three = ", ".join(shown[m, 300] for m in ("sgd", "jacobi", "esgd"))
    assert f"(at 300: {three}); it is larger there on RMSProp's run at each epoch, by less than three" in said
    assert [e for (n, e), by in z.items() if n == "esgd" and by < 0] == [10, 20, 30]
    assert f"and on ESGD's at 10, 20 and 30, by {-z['esgd', 20]:.1f} at 20." in said
    assert f"({shown['rmsprop', 300]} at 300)" in said
    for data in ("curves", "mnist"):
        raced = read_csv(ROOT / "results" / "fig5" / data / "records.csv")
        leads = [
            median_lead(*(losses_of(raced, m, seed) for m in ("esgd", "jacobi")), (100,))[100] for seed in (0, 1, 2)
        ]
        assert ", ".join(f"{x:+.1f}" for x in leads).replace("-", "−") in said, leads
