"""How heavy the lab is and how fast it draws, on a phone's screen with the processor slowed down.

    python benchmarks/page.py [--throttle 4] [--scenes descent probes …] [--output FILE]

For every scene: the time to the first drawn frame, the frames while it plays, and the frames while its surface is
turned, each in three ways. *Scripts* is the processor time that scripts, styles and layout take on the page's main
thread, times the throttle: what the frame costs on a slower processor beside a graphics chip. *Work* is all of the
main thread, to which a browser without a graphics chip, as here, adds the painting of the canvases. *Clock* is what
went by on this machine with the browser slowing the page down; it tells the truth only on an idle machine, so the
load is recorded beside it. An empty page's time is taken off the first frame. Figures are medians of three loads,
with the least and the greatest of them. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from esgd.files import atomic_write
from esgd.lab import MODULE, SCENES, page_script, placeholder
from esgd.provenance import now, provenance

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from conftest import find_chromium

RESULT = Path(__file__).parent.parent / "results" / "benchmarks" / "page.json"
LOADS = 3
SCREEN = {"width": 390, "height": 844}
FIGURES = ("first_frame", "frame", "surface_frame")
KINDS = ("scripts", "work", "clock")
TARGETS = {"first_frame_ms": 200, "frame_ms": 1000 / 60}

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Lab</title>
<meta name="viewport" content="width=device-width"><body>{place}
<script>window.began = performance.now();
new MutationObserver((list, me) => {{ if (document.querySelector('[data-lab-host]')) {{ me.disconnect();
  requestAnimationFrame(() => requestAnimationFrame(() => (window.drawn = performance.now()))); }} }})
  .observe(document.body, {{ childList: true, subtree: true }});</script>
<script src="lab.js"></script></body></html>"""

FRAMES = """async (surface) => {
  const { lab } = document.querySelector('[data-esgd-lab]').esgdLab; const times = [];
  if (!surface) { lab.update({ at: 0 }); lab.play(); }
  const { shadowRoot } = document.querySelector('[data-lab-host]');
  const canvas = surface && shadowRoot.querySelector('[data-view=surface] canvas');
  const before = surface && canvas.toDataURL();
  const end = performance.now() + 900;
  while (performance.now() < end && (surface || lab.playing)) {
    if (surface) lab.update({ turn: Math.round(performance.now() / 20) % 360 });
    times.push(await new Promise(requestAnimationFrame)); }
  lab.pause();
  if (surface && canvas.toDataURL() === before) throw new Error('the surface was not drawn');
  return { frames: times.length - 1, clock: (times[times.length - 1] - times[0]) / (times.length - 1) }; }"""
OPEN = """async () => { const { lab } = document.querySelector('[data-esgd-lab]').esgdLab;
  lab.update({ show: ['surface'] }); await new Promise((done) => setTimeout(done, 400));
  const shown = document.querySelector('[data-lab-host]').shadowRoot.querySelector('[data-view=surface]');
  shown.scrollIntoView({ block: 'center' }); await new Promise((done) => setTimeout(done, 400)); }"""


def spread(values: list[float]) -> dict[str, float | None]:
    """Median, least and greatest; None where a load did not come to two frames in its time."""
    if not all(map(math.isfinite, values)):
        return dict.fromkeys(("median", "low", "high"))
    ordered = sorted(round(value, 2) for value in values)
    return {"median": statistics.median(ordered), "low": ordered[0], "high": ordered[-1]}


class Load:
    """One load of a page with one scene."""

    def __init__(self, browser: Any, address: str, throttle: float) -> None:
        self.page = browser.new_page(viewport=SCREEN, device_scale_factor=2)
        self.session = self.page.context.new_cdp_session(self.page)
        self.session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self.session.send("Emulation.setCPUThrottlingRate", {"rate": throttle})
        self.page.goto(address)
        self.page.wait_for_function("window.drawn")
        self.first = {**self.worked(), "clock": self.page.evaluate("window.drawn - window.began")}

    def worked(self) -> dict[str, float]:
        """Milliseconds of the processor that the main thread has spent on the page so far."""
        found = {m["name"]: 1000 * m["value"] for m in self.session.send("Performance.getMetrics")["metrics"]}
        return {
            "scripts": found["ScriptDuration"] + found["LayoutDuration"] + found["RecalcStyleDuration"],
            "work": found["TaskDuration"] - found["DevToolsCommandDuration"],
        }

    def frames(self, surface: bool) -> dict[str, float]:
        """What one frame takes in ms while the scene plays, or while its surface turns."""
        if surface:
            self.page.evaluate(OPEN)
        before = self.worked()
        found = self.page.evaluate(FRAMES, surface)
        spent = {kind: (ms - before[kind]) / max(1, found["frames"]) for kind, ms in self.worked().items()}
        return {**spent, "clock": found["clock"]}


def measure(scenes: list[str], throttle: float) -> tuple[str, dict[str, dict[str, dict[str, float | None]]]]:
    """The browser's version and every scene's figures: work from loads at full speed, clock from slowed ones."""
    from playwright.sync_api import sync_playwright

    rows = {}
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=find_chromium(playwright), args=["--no-sandbox"])
        blank = Path(folder) / "blank.html"
        blank.write_text(PAGE.format(place="<div data-lab-host></div>"), encoding="utf-8")
        (Path(folder) / "lab.js").write_text("", encoding="utf-8")
        blanks = [Load(browser, blank.as_uri(), 1) for _ in range(LOADS)]
        base = {kind: statistics.median(load.first[kind] for load in blanks) for kind in ("scripts", "work")}
        (Path(folder) / "lab.js").write_text(page_script(), encoding="utf-8")
        for scene in scenes:
            page_file = Path(folder) / f"{scene}.html"
            page_file.write_text(PAGE.format(place=placeholder(scene)), encoding="utf-8")
            seen: dict[str, list[float]] = {}
            for slowed in (False, True):
                for _ in range(LOADS):
                    load = Load(browser, page_file.as_uri(), throttle if slowed else 1)
                    first = {kind: ms - base.get(kind, 0) for kind, ms in load.first.items()}
                    for name, found in zip(FIGURES, (first, load.frames(False), load.frames(True)), strict=True):
                        for kind in KINDS:
                            if slowed == (kind == "clock"):
                                scaled = found[kind] * (1 if slowed else throttle)
                                seen.setdefault(f"{name}_{kind}_ms", []).append(scaled)
                    load.page.close()
            rows[scene] = {name: spread(values) for name, values in seen.items()}
        version = browser.version
        browser.close()
    return version, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--throttle", type=float, default=4, help="how many times slower the processor is made")
    parser.add_argument("--scenes", nargs="+", default=list(SCENES), choices=list(SCENES))
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    record: dict[str, Any] = {
        "start": now(), "command": "python benchmarks/page.py", "throttle": options.throttle, "loads": LOADS,
        "screen": SCREEN, "targets": TARGETS, "load_average": list(os.getloadavg()), "weight": {},
    }  # fmt: skip
    for name, data in (("module", MODULE.read_bytes()), ("page script", page_script().encode())):
        packed = len(gzip.compress(data, 9))
        record["weight"][name] = {"bytes": len(data), "gzip": packed}
        print(f"{name:12s} {len(data) / 1024:6.1f} KiB, {packed / 1024:5.1f} KiB gzip")
    record["browser"], record["scenes"] = measure(options.scenes, options.throttle)
    print(
        f"ms, processor ÷ {options.throttle:g}".ljust(22)
        + "first frame".ljust(30)
        + "playing".ljust(30)
        + "turning"
    )
    print(f"{'':15s}" + 3 * "".join(f" {kind:>9s}" for kind in KINDS))
    for scene, row in record["scenes"].items():
        cells = [row[f"{name}_{kind}_ms"] for name in FIGURES for kind in KINDS]
        print(
            f"{scene:15s}"
            + "".join(f" {math.nan if cell['median'] is None else cell['median']:9.1f}" for cell in cells)
        )
    record |= {"end": now()} | provenance(torch.device("cpu"))
    atomic_write(options.output, json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
