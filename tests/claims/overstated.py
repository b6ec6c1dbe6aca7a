"""What the ledger once said of recorded runs, from one seed, one snapshot or within the noise, and took back.

Edits as in :mod:`printed`, made and run by :mod:`test_printed`.
"""

from __future__ import annotations

from printed import CLAIMS, Printed

RECORDED = CLAIMS + "test_recorded_runs.py::"
MEASURED = CLAIMS + "test_measured_runs.py::"
ON_MNIST = CLAIMS + "test_measured_mnist.py::"
SLEEPING = CLAIMS + "test_sleeping_units.py::"
LEDGER = "book/claims.yml"

OVERSTATED = (
    Printed(
        "DMP",
        RECORDED + "test_ten_runs_at_one_rate_do_not_separate_a_hundredth_from_a_thousandth",
        "λ = 1e-4 ends at 108.8 and 113.7, 1e-3 at 96.4 and 96.6, 1e-2 at 97.3 and 93.6:",
        "No run is recorded yet:", LEDGER,
    ),
    Printed(
        "F4", MEASURED + "test_figure_4_on_generated_curves_so_far",
        "its own average is at most 0.055 ± 0.006 from D_E", "its own average stays within 0.06 of D_E", LEDGER,
    ),
    Printed(
        "F4", MEASURED + "test_whether_jacobi_or_rmsprop_is_nearer_depends_on_the_run_and_on_the_snapshot",
        "0.06 and 0.14 on Jacobi's run,", "on Jacobi's own run it ends nearer than √v,", LEDGER,
    ),
    Printed(
        "F4", ON_MNIST + "test_rmsprops_average_does_not_leave_equilibration_in_300_epochs_of_mnist",
        "at most 0.048 ± 0.004 from D_E on its own run, at epoch 10,",
        "leaves D_E late, and at the end is at", LEDGER,
    ),
    Printed(
        "F6", ON_MNIST + "test_figure_6_on_mnist_so_far",
        "nor is SGD's at any from 50 on", "nor SGD's before 100", LEDGER,
    ),
    Printed(
        "F5", RECORDED + "test_who_reaches_sgds_best_loss_how_many_times_sooner",
        "RMSProp's is sooner still, 3.9 and 3.9, Jacobi's 2.4 and 2.2.", "About three times sooner.", LEDGER,
    ),
    Printed(
        "F5", RECORDED + "test_who_reaches_sgds_best_loss_how_many_times_sooner",
        "There its median run does not reach SGD's best loss at all;", "There it is about three times sooner;",
        LEDGER,
    ),
    Printed(
        "F5", RECORDED + "test_esgds_factor_depends_on_where_one_stops",
        "ESGD's factor depends on where one stops:", "ESGD's factor is about three:", LEDGER,
    ),
    Printed(
        "F5", RECORDED + "test_over_a_thousand_epochs_of_curves_rmsprop_loses_its_lead_on_each_seed",
        "By these medians ESGD ends below RMSProp on each seed, which of two equal methods the first does once in",
        "So ESGD has passed RMSProp, which one of two equal methods does once in", LEDGER,
    ),
    Printed(
        "F5", RECORDED + "test_whose_best_rate_is_at_the_wall_of_the_papers_range",
        "RMSProp's on CURVES (place 0.996) and on MNIST (0.997), and Jacobi's on CURVES (0.965).",
        "RMSProp's on CURVES.", LEDGER,
    ),
    Printed(
        "F5", RECORDED + "test_figure_5_on_mnist_so_far",
        "epochs: {CURVES: 1000, MNIST: 100}", "epochs: {CURVES: 1000, MNIST: 150}", LEDGER,
    ),
    Printed(
        "SYN", RECORDED + "test_rmsprops_lead_over_esgd_shrinks_on_each_seed_and_not_alike",
        "to an eighth, to a sixteenth and to less than nothing: how much is a matter of the seed.",
        "to an eighth.", LEDGER,
    ),
    Printed(
        "SYN",
        MEASURED + "test_on_the_one_measured_run_rmsprop_loses_its_lead_without_leaving_equilibration",
        "within the 0.016 to 0.053 of before.", "as near as ever.", LEDGER,
    ),
    Printed(
        "NEG", MEASURED + "test_negative_curvature_so_far",
        "run but one: SGD's at epoch 20 reads 0.018 ± 0.003, not separated from a fiftieth.", "run.", LEDGER,
    ),
    Printed(
        "NEG", MEASURED + "test_negative_curvature_so_far",
        '> -3:\n                open_cases', '> 0:\n                open_cases',
    ),
    Printed(
        "SLP", SLEEPING + "test_the_late_jump_is_one_unit",
        "still 2.2e-04 at 270, and 6.2 at 280", "and 6.2 ten epochs later", LEDGER,
    ),
    Printed(
        "SLP", SLEEPING + "test_at_a_hundredth_the_net_stays_awake_and_esgd_is_level_with_rmsprop",
        "on seed 0 it is above RMSProp by +0.2 at 100, +0.3 at 200, −0.5 at 300", "on seed 0 it is below RMSProp",
        LEDGER,
    ),
    Printed(
        "SLP", SLEEPING + "test_larger_dampings_keep_single_units_nearer",
        "no arm jumps, so that they do not say what prevents a jump", "no jump at 1e-2", LEDGER,
    ),
    Printed(
        "SAT", MEASURED + "test_saturated_sigmoids_so_far",
        "that is so for ESGD (0.348 at loss 93.0) and for Jacobi (0.356 at 91.1), whose loss is even higher there, "
        "and not for RMSProp (0.089 at 86.7)",
        "this is not so for RMSProp", LEDGER,
    ),
    Printed(
        "F6", MEASURED + "test_what_is_above_fifteen_per_cent_depends_on_when_one_looks",
        "1.4 standard errors above: not separated from 15 %", "above 15 % like the others", LEDGER,
    ),
    Printed(
        "F6", MEASURED + "test_what_is_above_fifteen_per_cent_depends_on_when_one_looks",
        '("rmsprop", False)', '("rmsprop", True)',
    ),
    Printed(
        "F6", MEASURED + "test_what_rests_on_the_sample_and_what_all_examples_say",
        "What is said of epochs 300 and 1,000 rests on the sample of 2,000 examples; ", "", LEDGER,
    ),
    Printed(
        "F6", MEASURED + "test_what_is_above_fifteen_per_cent_depends_on_when_one_looks",
        "After 300 epochs all four are above by more than three standard errors:", "SGD stays below 15 %:", LEDGER,
    ),
    Printed(
        "F6o", MEASURED + "test_dominance_where_sgd_is_equally_low_so_far",
        "and RMSProp's 0.0262 ± 0.0033 is far below.", "and each of the three is above.", LEDGER,
    ),
    Printed(
        "SLP", SLEEPING + "test_that_the_sleepers_make_the_lag_does_not_follow",
        "it goes from 6.7 at epoch 50 to 1.3 at 250, while 267 and 240 units sleep", "it shrinks", LEDGER,
    ),
    Printed(
        "JCC", ON_MNIST + "test_jacobis_distance_on_both_data_sets_and_its_losses",
        "it is larger there on RMSProp's run at each epoch, by less than three (0.155 and 0.129 at 300)", "",
        LEDGER,
    ),
    Printed(
        "F6o", MEASURED + "test_dominance_where_sgd_is_equally_low_so_far",
        "More than twice SGD's is separated for ESGD and Jacobi, for RMSProp it is not.",
        "Each is more than twice SGD's.", LEDGER,
    ),
)  # fmt: skip
