"""What the ledger says of the measures along two runs on MNIST, in the terms of test_measured_runs.py."""

from __future__ import annotations

import pytest
from ledger_row import ROOT, row
from measured_rows import above, errors, recorded, values, with_error

from esgd.comparison import losses_of, median_lead
from esgd.runs import read_csv

OWN = ("cosine", "own", "equilibration")


@pytest.mark.claim("F4", "SYN")
def test_rmsprops_average_does_not_leave_equilibration_in_300_epochs_of_mnist():
    measures = recorded("F4", "mnist")
    own, error = (read(measures, "rmsprop", *OWN) for read in (values, errors))
    farthest, last = max(own, key=own.get), measures.last
    assert min(own, key=own.get) == last
    assert all(own[e] + 3 * error[e] < 0.07 for e in own)
    at_most = f"at most {with_error(measures, 'rmsprop', farthest, 3, *OWN)} from D_E"
    said = row("F4").correct
    assert f"average is {at_most} on its own run, and nearest at the end, " in said
    assert f"{with_error(measures, 'rmsprop', last, 3, *OWN)}, where the paper" in said
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


@pytest.mark.claim("F6")
def test_figure_6_on_mnist_so_far():
    measures, said = recorded("F6", "mnist"), row("F6").correct
    assert measures.methods == ["rmsprop", "esgd"]
    bound = 0.15**2
    over = {
        m: {e: above(measures, m, e, bound, "dominance") for e in values(measures, m, "dominance")}
        for m in measures.methods
    }
    clear = {m: [e for e, by in found.items() if by > 3] for m, found in over.items()}
    assert clear == {"rmsprop": [100, 200, 300], "esgd": [50, 100, 200, 260]}
    assert max(found[10] for found in over.values()) < -3
    shown = {
        m: ", ".join(with_error(measures, m, e, 4, "dominance") for e in epochs) for m, epochs in clear.items()
    }
    assert f"for RMSProp at 100, 200 and 300 epochs ({shown['rmsprop']})" in said
    assert f"for ESGD at 50, 100, 200 and 260 ({shown['esgd']})" in said
    assert 0 < over["rmsprop"][50] < 3
    assert 0 < over["esgd"][300] < 3
    open_cases = [with_error(measures, m, e, 4, "dominance") for m, e in (("rmsprop", 50), ("esgd", 300))]
    assert f"RMSProp's {open_cases[0]} at 50 and ESGD's {open_cases[1]} at 300" in said
