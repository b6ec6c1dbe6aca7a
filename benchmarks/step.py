"""The cost of one optimizer step against ``torch.optim.SGD``, for ours and for peers.

    python benchmarks/step.py [--net mnist] [--net curves] [--rounds 15] [--device cpu]

Each contender owns a copy of the paper's autoencoder and takes whole steps (zero_grad, forward, probe,
backward, step) at batch 200. The rounds are interleaved: in every round each contender takes one period of steps,
and SGD runs before and after it, so that a slow second of the machine falls on both; a round's figure is the ratio
to the mean of its two SGD neighbours. Printed are the median of the rounds, a 90 % bootstrap interval of it, the
ratio of FLOPs (matrix products, counted by torch, over one period after the first step) and the ratio of peak
memory (allocations, counted by torch's profiler on the CPU and by the caching allocator on CUDA, from the
construction on, first product included). ``first_step_memory`` is the peak of the first step with the default
number of products.

On CUDA steps are timed with events, and steps captured in CUDA graphs stand beside those that the host launches.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from _contenders import BATCH, LR, NETS, contenders, contenders_in_graphs, images, plain, probed
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from esgd import ESGD
from esgd.provenance import provenance

RESULT = Path(__file__).parent.parent / "results" / "benchmarks" / "step.json"
TARGETS = {  # what is to be reached, ratio to SGD
    "ESGD plain step": 1.03,
    "ESGD 1": 3.0,
    "ESGD 10": 1.20,
    "ESGD 20": 1.12,
    "ESGD low rank 1": 3.0,
    "ESGD low rank 10": 1.20,
    "ESGD low rank 20": 1.12,
    "ESGD quarter batch 20": 1.06,
    "ESGD low rank quarter batch 20": 1.06,
    "ESGD difference 20": 1.06,
}


def clock(step: Callable[[], None], steps: int, device: torch.device) -> float:
    """Seconds a step, by CUDA events on a GPU and by the clock elsewhere."""
    if device.type == "cuda":
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(steps):
            step()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3 / steps
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - begin) / steps


def flops(step: Callable[[], None], period: int) -> float:
    """Matrix-product FLOPs a step, over one period after the first step, which always takes a product."""
    step()
    with FlopCounterMode(display=False) as counter:
        for _ in range(period):
            step()
    return counter.get_total_flops() / period


def peak_memory(build: Callable[[], Callable[[], None]], device: torch.device, steps: int = 3) -> int:
    """Peak of live bytes from the construction of net and optimizer to the end of the last of ``steps``."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        base = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step = build()
        for _ in range(steps):
            step()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - base
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step = build()
        for _ in range(steps):
            step()
    live = peak = 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda e: e.start_ns()):
        if event.name() == "[memory]":
            live += event.nbytes()
            peak = max(peak, live)
    return peak


def interval_of_median(ratios: list[float], level: float = 0.9, draws: int = 2000) -> tuple[float, float]:
    """Bootstrap interval of the median."""
    rng = random.Random(0)
    medians = sorted(statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(draws))
    tail = (1 - level) / 2
    return medians[int(tail * draws)], medians[int((1 - tail) * draws) - 1]


def measure(name: str, rounds: int, device: torch.device, only: str | None) -> list[dict]:
    """All contenders on one net; prints the table and returns its rows."""
    x = images(name, device)[:BATCH].contiguous()
    sgd_build = plain(lambda p: torch.optim.SGD(p, lr=1e-5))

    def fresh() -> torch.nn.Module:
        return NETS[name](seed=0).to(device)

    sgd = sgd_build(fresh(), x)
    everybody = [*contenders(), *(contenders_in_graphs() if device.type == "cuda" else ())]
    crew = [c for c in everybody if only is None or only.lower() in c.name.lower()]
    steps = {c.name: c.build(fresh(), x) for c in crew}
    clock(sgd, 2, device)
    for c in crew:  # the first steps also fill caches
        clock(steps[c.name], c.settle, device)
    ratios: dict[str, list[float]] = {c.name: [] for c in crew}
    for _ in tqdm(range(rounds), desc=name, disable=None):
        before = clock(sgd, 5, device)
        for c in crew:
            seconds = clock(steps[c.name], c.period if c.period > 1 else 5, device)
            after = clock(sgd, 5, device)
            ratios[c.name].append(2 * seconds / (before + after))
            before = after
    interval = statistics.mean(getattr(steps.get("ESGD auto"), "intervals", None) or [0])
    base_flops = flops(sgd, 1)
    base_memory = peak_memory(lambda: sgd_build(fresh(), x), device)
    rows = []
    for c in crew:
        low, high = interval_of_median(ratios[c.name])
        del steps[c.name]
        rows.append(
            {
                "net": name,
                "optimizer": c.name,
                "ours": c.ours,
                "curvature_peer": c.peer,
                "time_ratio": round(statistics.median(ratios[c.name]), 4),
                "low": round(low, 4),
                "high": round(high, 4),
                "flop_ratio": round(flops((c.counted or c.build)(fresh(), x), c.period) / base_flops, 4),
                "memory_ratio": round(
                    peak_memory(lambda c=c: c.build(fresh(), x), device, max(3, c.settle)) / base_memory, 3
                ),
                "target": TARGETS.get(c.name),
            }
        )
    found = {row["optimizer"]: row for row in rows}
    if at_20 := found.get("ESGD 20"):  # the others take one product at their first step
        first = probed(lambda p: ESGD(p, lr=LR))
        at_20["first_step_memory"] = round(peak_memory(lambda: first(fresh(), x), device, 1) / base_memory, 3)
    if auto := found.get("ESGD auto"):
        auto["interval"] = round(interval, 1)
        if "RMSprop" in found:  # its target is a share of another step of the same run
            auto["target"] = round(1.03 * found["RMSprop"]["time_ratio"], 4)
    print(f"\n{name}: one step, ratio to torch.optim.SGD, {rounds} rounds")
    print(f"{'optimizer':34}{'time':>7}  {'90 %':^15}{'FLOPs':>7}{'memory':>8}{'target':>8}")
    for r in rows:
        target = "" if r["target"] is None else f"{r['target']:8.2f}"
        every = f"  a product every {r['interval']} steps" if "interval" in r else ""
        print(
            f"{r['optimizer']:34}{r['time_ratio']:7.3f}  [{r['low']:.3f}, {r['high']:.3f}]"
            f"{r['flop_ratio']:7.3f}{r['memory_ratio']:8.2f}{target}{every}"
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", action="append", choices=sorted(NETS), help="default: both")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", help="contenders whose name holds this text")
    parser.add_argument("--no-record", action="store_true", help="print, but leave results/ alone")
    args = parser.parse_args()
    device = torch.device(args.device)
    rows = [row for net in args.net or sorted(NETS) for row in measure(net, args.rounds, device, args.only)]
    if args.no_record or args.only:
        return
    path = RESULT.with_stem(f"step-{device.type}")
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "command": "python benchmarks/step.py",
        "rounds": args.rounds,
        "provenance": provenance(device),
        "rows": rows,
    }
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {path.relative_to(RESULT.parent.parent.parent)}")


if __name__ == "__main__":
    main()
