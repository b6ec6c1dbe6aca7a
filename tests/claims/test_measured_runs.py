"""What the ledger says of the measures along recorded runs, computed again from the records.

What is said to be above or below is so by three standard errors here; what is not has to be called not separated.
The errors of a snapshot come from its probes, of steps from minibatches. All snapshots of all runs are measured
with the same probes, so that their errors go together: that many snapshots agree is no more evidence than one.
Numbers in the ledger's text are formatted from the records and looked up in the text.
"""

from __future__ import annotations

import json
import math
from statistics import median

import numpy as np
import pytest
from ledger_row import ROOT, row
from measured_rows import above, errors, folder_of, recorded, values, with_error

from esgd.figures.trajectory import Measures, read_measures
from esgd.measure import DAMPING
from esgd.runs import read_csv


def test_noise_alone_is_at_a_distance_of_its_own():
    """A half-normal vector from a constant: 1 − √(2/π), and log-dispersion π/(2√2), whatever the probes."""
    noise = np.abs(np.random.default_rng(1).standard_normal(400_000))
    assert 1 - noise.mean() / np.sqrt((noise**2).mean()) == pytest.approx(1 - math.sqrt(2 / math.pi), abs=2e-3)
    assert np.log(noise).std() == pytest.approx(math.pi / math.sqrt(8), abs=1e-2)


@pytest.mark.claim("F4")
def test_figure_4_on_generated_curves_so_far():
    measures, said = recorded("F4"), row("F4").correct
    for method in measures.methods:
        jacobi = values(measures, method, "cosine", "jacobi", "equilibration")
        constant = values(measures, method, "cosine", "constant", "equilibration")
        mine = values(measures, method, "cosine", "rmsprop", "equilibration")
        assert jacobi[0] == pytest.approx(1 - math.sqrt(2 / math.pi), abs=0.01)  # noise, nothing else
        assert all(mine[e] < constant[e] for e in mine)
    own, error = (read(measures, "rmsprop", "cosine", "own", "equilibration") for read in (values, errors))
    farthest = max(own, key=own.get)
    assert (
        f"at most {with_error(measures, 'rmsprop', farthest, 3, 'cosine', 'own', 'equilibration')} from D_E" in said
    )
    exact, noise = (read(measures, "rmsprop", "cosine", "rmsprop", "equilibration") for read in (values, errors))
    assert min((exact[e] - own[e]) / math.hypot(error[e], noise[e]) for e in own) > 3
    constant = values(measures, "rmsprop", "cosine", "constant", "equilibration")
    assert min(distance for epoch, distance in constant.items() if epoch) > 0.7
    assert min(values(measures, "rmsprop", "cosine", "jacobi", "equilibration").values()) > 0.15


@pytest.mark.claim("F4")
def test_whether_jacobi_or_rmsprop_is_nearer_depends_on_the_run_and_on_the_snapshot():
    measures, said = recorded("F4"), row("F4").correct
    medians, five = {}, {}
    for method in measures.methods:
        lines = {a: values(measures, method, "cosine", a, "equilibration") for a in ("jacobi", "rmsprop")}
        five[method] = {a: {e: line[e] for e in sorted(line)[-5:]} for a, line in lines.items()}
        medians[method] = [median(five[method][a].values()) for a in ("jacobi", "rmsprop")]
    shown = {m: f"{a:.2f} and {b:.2f} on" for m, (a, b) in medians.items()}
    own_run = five["jacobi"]["rmsprop"].values()
    spread = f"where √v lies between {min(own_run):.2f} and {max(own_run):.2f} at these five"
    assert f"Jacobi and √v: {shown['jacobi']} Jacobi's run, {spread}; {shown['esgd']} ESGD's, " in said
    assert f"{shown['rmsprop']} RMSProp's, {shown['sgd']} SGD's, where they are level at 1,000." in said
    assert medians["jacobi"][0] < medians["jacobi"][1] / 2
    assert medians["rmsprop"][0] == pytest.approx(medians["rmsprop"][1], abs=0.02)
    assert medians["sgd"][0] > medians["sgd"][1]
    last = [with_error(measures, "sgd", 1000, 3, "cosine", a, "equilibration") for a in ("jacobi", "rmsprop")]
    assert last[0][:4] == last[1][:4] == "0.20"  # as good as level


@pytest.mark.claim("F4")
def test_esgds_own_mean_begins_far_away_and_ends_nearer_than_rmsprops_average():
    measures, said = recorded("F4"), row("F4").correct
    what = ("cosine", "own", "equilibration")
    own, other = (values(measures, m, *what) for m in ("esgd", "rmsprop"))
    assert own[10] > 5 * other[10]
    assert own[100] > 2 * other[100]
    for late in (300, 1000):
        noise = math.hypot(*(errors(measures, m, *what)[late] for m in ("esgd", "rmsprop")))
        assert other[late] - own[late] > 3 * noise
    shown = {e: with_error(measures, "esgd", e, 3, *what) for e in (10, 100, 300, 1000)}
    text = f"{shown[10]} from D_E on its run at epoch 10, {shown[100]} at 100, {shown[300]} at 300"
    assert f"{text} and {shown[1000]} at 1,000, where RMSProp's average" in said
    assert f"RMSProp's average on its own is at {with_error(measures, 'rmsprop', 1000, 3, *what)}." in said


@pytest.mark.claim("DIR")
def test_steps_of_rmsprop_and_equilibration_so_far():
    measures, level = recorded("DIR"), []
    for method in measures.methods:
        cosine = values(measures, method, "step", "equilibration", "rmsprop")
        assert max(cosine.values()) < 0.9  # related, and nowhere "very similar"
        jacobi = values(measures, method, "step", "equilibration", "jacobi")
        noise, other = (errors(measures, method, "step", "equilibration", a) for a in ("rmsprop", "jacobi"))
        level += [(method, e) for e in cosine if cosine[e] - jacobi[e] <= 3 * math.hypot(noise[e], other[e])]
    assert level == [("jacobi", 1000)]
    shown = [with_error(measures, "jacobi", 1000, 3, "step", "equilibration", a) for a in ("rmsprop", "jacobi")]
    text = f"on Jacobi's run at 1,000 epochs it is {shown[0]}, and that of the other pair {shown[1]}; on RMSProp's"
    shown = [with_error(measures, "rmsprop", 1000, 3, "step", "equilibration", a) for a in ("rmsprop", "jacobi")]
    assert f"{text} there {shown[0]} and {shown[1]}, just so)" in row("DIR").correct
    late = [measures.at(m, 1000, "step", "equilibration", "rmsprop") for m in ("rmsprop", "jacobi", "esgd")]
    assert f"at 1,000 the sample reads {min(late):.2f} to {max(late):.2f}." in row("DIR").correct
    full = read_measures(ROOT / "results" / "fig4" / "curves" / "full.csv")
    for method in full.methods:
        if method != "sgd":
            whole, sampled = (m.at(method, 100, "step", "equilibration", "rmsprop") for m in (full, measures))
            assert 0.385 < sampled < 0.535
            assert 0.725 < whole < 0.785


@pytest.mark.claim("DIR")
def test_what_a_sample_gets_wrong_in_the_steps_are_weights_of_the_first_layer():
    rows = read_csv(ROOT / "results" / "fig4" / "curves-steps" / "steps.csv")

    def found(by: str, group: str, source: str, what: str = "cosine") -> np.ndarray:
        return np.array([r[what] for r in rows if (r["by"], str(r["group"]), r["source"]) == (by, group, source)])

    layers, dampings = (
        dict.fromkeys(str(r["group"]) for r in rows if r["by"] == by) for by in ("layer", "damping")
    )
    gaps = {g: (found("layer", g, "all") - found("layer", g, "sample")).max() for g in layers}
    assert max(gaps, key=gaps.get) == "encoder.0.weight"
    assert gaps.pop("encoder.0.weight") > 3 * max(gaps.values())
    assert found("sample", "overlooked", "sample", "weights").max() < 0.1
    assert found("sample", "overlooked", "sample", "energy").min() > 0.5
    everywhere = np.concatenate([found("damping", g, "all") for g in dampings])
    assert 0.6 < everywhere.min() < everywhere.max() < 0.9
    for g in dampings:
        error = np.abs(found("damping", g, "all") - found("damping", g, "sample")).max()
        assert (error < 0.02) == (float(g) >= 1e-2)


@pytest.mark.claim("SYN")
def test_on_the_one_measured_run_rmsprop_loses_its_lead_without_leaving_equilibration():
    measures, said = recorded("SYN"), row("SYN").correct
    own = values(measures, "rmsprop", "cosine", "own", "equilibration")
    loss, other = (values(measures, m, "loss") for m in ("rmsprop", "esgd"))
    what = ("cosine", "own", "equilibration")
    assert max(own, key=own.get) == measures.last
    assert f"at most {with_error(measures, 'rmsprop', 1000, 3, *what)} at any snapshot, at epoch 1,000." in said
    lead = {e: other[e] - loss[e] for e in (10, 300, 500, 750)}
    gone = " and ".join(f"{lead[e]:.2f} at {e}" for e in (500, 750))
    text = f"goes from {lead[10]:.2f} at epoch 10 to {lead[300]:.2f} at 300, {gone}, where its average"
    assert text.replace("-", "−") in said
    before = [x for e, x in own.items() if 0 < e <= 300]
    assert all(min(before) < own[e] < max(before) for e in (500, 750))
    shown = " and ".join(with_error(measures, "rmsprop", e, 3, *what) for e in (500, 750))
    assert f"is at {shown}, within the {min(before):.3f} to {max(before):.3f} of before." in said
    assert len({found["run"] for found in measures.line("rmsprop", "loss")}) == 1


@pytest.mark.claim("NEG")
def test_negative_curvature_so_far():
    measures, said = recorded("NEG"), row("NEG").correct
    open_cases, near_zero = [], []
    for method in measures.methods:
        assert f"hold {with_error(measures, method, 0, 3, 'negative_energy')} of Σλ²" in said  # one net for all
        for epoch, energy in values(measures, method, "negative_energy").items():
            if not epoch:
                continue
            assert energy < 0.02
            if above(measures, method, epoch, 0.02, "negative_energy") > -3:
                open_cases.append((method, epoch))
        # a Ritz value is never below the smallest eigenvalue
        smallest, largest = (values(measures, method, q) for q in ("smallest", "largest"))
        near_zero += [(method, e) for e in smallest if smallest[e] > -1e-5 * largest[e]]
    assert open_cases == [("sgd", 20)]
    late = (250, 300, 500, 750, 1000)
    assert near_zero == [*(("esgd", e) for e in late), *(("jacobi", e) for e in late if e != 300)]
    smallest = {m: values(measures, m, "smallest") for m in measures.methods}
    none = {(m, e) for m, line in smallest.items() for e, x in line.items() if x > 0}
    assert none == {(m, e) for m, e in near_zero if (m, e) not in (("esgd", 250), ("esgd", 300))}
    text = "at every snapshot but Jacobi's at 250, 500, 750 and 1,000 and ESGD's at 500, 750 and 1,000, at ESGD's"
    assert f"{text} 250 and 300 by less than" in said
    assert f"SGD's at epoch 20 reads {with_error(measures, 'sgd', 20, 3, 'negative_energy')}, not separated" in said
    settings = json.loads((folder_of("NEG") / "manifest.json").read_text())["settings"]
    assert (settings["spaces"], settings["seed"]) == (2, 0)  # two spaces, the same starts at every snapshot


@pytest.mark.claim("F6")
def test_figure_6_on_generated_curves_so_far():
    """At the start the plug-in reads 11 % where the debiased estimate says 5 %."""
    measures = recorded("F6")
    for method in measures.methods:
        assert math.sqrt(measures.at(method, 0, "dominance")) < 0.06
        assert measures.at(method, 0, "dominance_plugin") == pytest.approx(0.112, abs=0.005)
        debiased, plugin = (values(measures, method, q) for q in ("dominance", "dominance_plugin"))
        assert all(debiased[e] < plugin[e] ** 2 for e in debiased)
    assert max(values(measures, "sgd", "dominance_plugin")[e] for e in range(0, 101, 10)) < 0.15


@pytest.mark.claim("F6")
def test_what_is_above_fifteen_per_cent_depends_on_when_one_looks():
    measures, said = recorded("F6"), row("F6").correct
    bound = 0.15**2
    full = read_measures(folder_of("F6") / "full.csv")
    for method, separated in (("esgd", True), ("jacobi", True), ("rmsprop", False)):
        for found in (measures, full):
            assert (above(found, method, 100, bound, "dominance") > 3) == separated
    esgd, jacobi, rmsprop, sgd = (
        with_error(measures, m, 100, 4, "dominance") for m in ("esgd", "jacobi", "rmsprop", "sgd")
    )
    assert f"After 100 epochs d² is {esgd} for ESGD and {jacobi} for Jacobi" in said
    errors_above = above(measures, "rmsprop", 100, bound, "dominance")
    assert f"for RMSProp it is {rmsprop}, {errors_above:.1f} standard errors above: not separated from 15 %" in said
    assert f"on all examples ({with_error(full, 'rmsprop', 100, 4, 'dominance')}) no more than" in said
    passed = [e for e, d in values(measures, "rmsprop", "dominance").items() if d > bound and e <= 100]
    assert passed == list(range(50, 101, 10))
    assert max(above(measures, "rmsprop", e, bound, "dominance") for e in passed) < 2
    assert above(measures, "sgd", 100, bound, "dominance") < -3
    assert f"for SGD it is {sgd}, far below." in said
    names = {"sgd": "SGD", "rmsprop": "RMSProp", "jacobi": "Jacobi", "esgd": "ESGD"}
    shown = {}
    for e in (300, measures.last):
        assert min(above(measures, m, e, bound, "dominance") for m in measures.methods) > 3
        shown[e] = ", ".join(f"{name} {with_error(measures, m, e, 4, 'dominance')}" for m, name in names.items())
    text = f"After 300 epochs all four are above by more than three standard errors: {shown[300]}. After 1,000"
    assert f"{text} epochs they still are: {shown[1000]}." in said
    assert json.loads((folder_of("F6") / "manifest.json").read_text())["settings"]["seed"] == 0


@pytest.mark.claim("F6", "F6o", "NEG", "SAT")
def test_what_rests_on_the_sample_and_what_all_examples_say():
    for claim in ("F6", "F6o", "NEG", "SAT"):
        assert json.loads((folder_of(claim) / "manifest.json").read_text())["settings"]["examples"] == 2000
        assert "the sample of 2,000 examples" in row(claim).correct
    measures, full = recorded("F6"), read_measures(folder_of("F6") / "full.csv")
    assert set(full.methods) == set(measures.methods)
    assert full.last == 100 < measures.last
    for method in full.methods:
        for quantity in ("dominance", "negative_energy"):
            (a, b), noise = (
                [read(m, method, quantity)[100] for m in (full, measures)] for read in (values, errors)
            )
            assert abs(a - b) < 3 * math.hypot(*noise), (method, quantity)
        shares = [m.at(method, 100, "saturated") for m in (full, measures)]
        assert shares[0] == pytest.approx(shares[1], rel=0.02)
    said = [with_error(m, "sgd", 100, 4, "negative_energy") for m in (full, measures)]
    assert f"give SGD's share as {said[0]}, the sample {said[1]}." in row("NEG").correct


def nearest(measures: Measures, method: str, loss: float) -> int:
    """The measured epoch of a run whose loss is nearest."""
    return min(measures.line(method, "loss"), key=lambda found: abs(found["value"] - loss))["epoch"]


@pytest.mark.claim("F6o")
def test_dominance_where_sgd_is_equally_low_so_far():
    """At the level of SGD's epoch 100 all three are above it, at that of 300 one is, and at its last none."""
    measures, said = recorded("F6o"), row("F6o").correct
    names = {"esgd": "ESGD", "rmsprop": "RMSProp", "jacobi": "Jacobi"}

    def beside(at: int, times: int = 1) -> tuple[dict[str, float], dict[str, str]]:
        end = measures.at("sgd", at, "loss")
        mine, error = (read(measures, "sgd", "dominance")[at] for read in (values, errors))
        z, shown = {}, {}
        for method in names:
            epoch = nearest(measures, method, end)
            theirs, noise = (read(measures, method, "dominance")[epoch] for read in (values, errors))
            z[method] = (theirs - times * mine) / math.hypot(noise, times * error)
            shown[method] = with_error(measures, method, epoch, 4, "dominance")
        return z, shown

    z, shown = beside(100)
    assert min(z.values()) > 3
    assert {m for m, by in beside(100, 2)[0].items() if by > 3} == {"esgd", "jacobi"}
    assert f"above SGD's {with_error(measures, 'sgd', 100, 4, 'dominance')} by more than three" in said
    assert all(f"{shown[m]} for {name}" in said for m, name in names.items())
    assert f"SGD's at epoch 100, {measures.at('sgd', 100, 'loss'):.1f}, " in said
    assert "More than twice SGD's is separated for ESGD and Jacobi, for RMSProp it is not." in said
    z, shown = beside(measures.last)
    assert max(z.values()) < -3
    mine = with_error(measures, "sgd", measures.last, 4, "dominance")
    end = measures.at("sgd", measures.last, "loss")
    text = f"At those nearest to SGD's at epoch 1,000, {end:.1f}, SGD's {mine}"
    three = f"ESGD's {shown['esgd']}, RMSProp's {shown['rmsprop']} and Jacobi's {shown['jacobi']}."
    assert f"{text} is above all three by more than three: {three}" in said
    z, shown = beside(300)
    assert z["rmsprop"] < -3 < z["esgd"] < 3 < z["jacobi"]
    assert f"SGD's at epoch 300, {measures.at('sgd', 300, 'loss'):.1f}, it is" in said
    mine = with_error(measures, "sgd", 300, 4, "dominance")
    assert f"above SGD's {mine} by more than three standard errors is Jacobi's {shown['jacobi']} alone" in said
    assert f"ESGD's {shown['esgd']} is not separated from it, and RMSProp's {shown['rmsprop']} is far below" in said


@pytest.mark.claim("SAT")
def test_saturated_sigmoids_so_far():
    """Three times SGD's share at equal epochs; at equal loss ESGD and Jacobi still, RMSProp not."""
    measures, said = recorded("SAT"), row("SAT").correct
    share = {m: measures.at(m, 100, "saturated") for m in measures.methods}
    assert min(share[m] for m in ("esgd", "rmsprop", "jacobi")) > 3 * share["sgd"]
    late = {m: measures.at(m, 300, "saturated") for m in measures.methods}
    assert all(2 < late[m] / late["sgd"] < 3.1 for m in ("esgd", "rmsprop", "jacobi"))
    end = measures.at("sgd", 100, "loss")
    loss, equally_low = {}, {}
    for method in ("esgd", "jacobi", "rmsprop"):
        epoch = nearest(measures, method, end)
        loss[method], equally_low[method] = (measures.at(method, epoch, q) for q in ("loss", "saturated"))
    assert equally_low["rmsprop"] == pytest.approx(share["sgd"], rel=0.1)
    for method in ("esgd", "jacobi"):
        assert equally_low[method] > 3 * share["sgd"]
        assert loss[method] > end
    at = {m: f"({equally_low[m]:.3f} at loss {loss[m]:.1f})" for m in loss}
    other = {m: text.replace(" loss", "") for m, text in at.items()}
    assert f"SGD's there, {end:.1f}, that is so for ESGD {at['esgd']} and for Jacobi {other['jacobi']}" in said
    assert f"not for RMSProp {other['rmsprop']}: SGD has {share['sgd']:.3f}." in said
    for end, more in ((300, 1.2), (measures.last, 1.1)):
        late = {m: nearest(measures, m, measures.at("sgd", end, "loss")) for m in measures.methods}
        assert late["sgd"] == end
        found = {m: [measures.at(m, e, q) for q in ("saturated", "loss")] for m, e in late.items()}
        assert min(found[m][0] for m in ("esgd", "jacobi", "rmsprop")) > more * found["sgd"][0]
        at = {m: f"{x:.3f} ({loss:.1f})" for m, (x, loss) in found.items()}
        of_sgd = f"SGD's at epoch {end:,}, {found['sgd'][1]:.1f}, where it has {found['sgd'][0]:.3f}, RMSProp has"
        assert f"{of_sgd} {at['rmsprop']}, ESGD {at['esgd']} and Jacobi {at['jacobi']}." in said


def test_steps_are_compared_under_the_damping_that_the_search_chose():
    manifest = json.loads((ROOT / "results" / "fig5" / "curves" / "manifest.json").read_text())
    chosen = {run["config"]["method"]: run["config"]["damping"] for run in manifest["runs"]}
    assert {"equilibration": chosen["esgd"], "jacobi": chosen["jacobi"], "rmsprop": chosen["rmsprop"]} == {
        name: value for name, value in DAMPING.items() if name != "absolute"
    }
