"""How heavy the lab is and how fast it draws: printed, never asserted.

    python benchmarks/page.py [--throttle 4] [--scenes descent probes …]

For every scene: the time from the start of the script to the first drawn frame, and the frames a second while it
plays, on a phone's screen with the processor slowed down by ``--throttle``. Times are medians of three loads.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import statistics
import tempfile
from pathlib import Path

from esgd.lab import MODULE, SCENES, page_script, placeholder

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Lab</title>
<meta name="viewport" content="width=device-width"><body>{place}
<script>window.began = performance.now();
new MutationObserver((list, me) => {{ if (document.querySelector('[data-lab-host]')) {{ me.disconnect();
  requestAnimationFrame(() => requestAnimationFrame(() => (window.drawn = performance.now()))); }} }})
  .observe(document.body, {{ childList: true, subtree: true }});</script>
<script src="lab.js"></script></body></html>"""

FRAMES = """async () => {
  const { lab } = document.querySelector('[data-esgd-lab]').esgdLab; const times = [];
  lab.update({ at: 0 }); lab.play(); const end = performance.now() + 1500;
  while (performance.now() < end && lab.playing) {
    times.push(await new Promise(requestAnimationFrame)); }
  lab.pause(); const gaps = times.slice(1).map((t, i) => t - times[i]).sort((a, b) => a - b);
  const whole = gaps.reduce((s, g) => s + g, 0);
  return { rate: 1000 * gaps.length / whole, slow: gaps[Math.floor(gaps.length * 0.95)] }; }"""


def measure(scenes: list[str], throttle: float) -> list[tuple[str, float, float, float]]:
    """For each scene: milliseconds to the first frame, frames a second, 95 % of the frames' gaps in ms."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    rows = []
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "lab.js").write_text(page_script(), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scene in scenes:
            page_file = Path(folder) / f"{scene}.html"
            page_file.write_text(PAGE.format(place=placeholder(scene)), encoding="utf-8")
            loads = []
            for _ in range(3):
                page = browser.new_page(viewport={"width": 390, "height": 844}, device_scale_factor=2)
                page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": throttle})
                page.goto(page_file.as_uri())
                page.wait_for_function("window.drawn")
                first = page.evaluate("window.drawn - window.began")
                frames = page.evaluate(FRAMES)
                loads.append((first, frames["rate"], frames["slow"]))
                page.close()
            rows.append((scene, *(statistics.median(column) for column in zip(*loads, strict=True))))
        browser.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--throttle", type=float, default=4, help="how many times slower the processor is made")
    parser.add_argument("--scenes", nargs="+", default=list(SCENES), choices=list(SCENES))
    arguments = parser.parse_args()
    for name, data in (("module", MODULE.read_bytes()), ("page script", page_script().encode())):
        print(f"{name:12s} {len(data) / 1024:6.1f} KiB, {len(gzip.compress(data, 9)) / 1024:5.1f} KiB gzip")
    print(
        f"{'scene':15s} {'first frame':>12s} {'frames/s':>9s} {'95 % gap':>9s}"
        f"   (processor ÷ {arguments.throttle:g})"
    )
    for scene, first, rate, slow in measure(arguments.scenes, arguments.throttle):
        print(f"{scene:15s} {first:9.0f} ms {rate:9.1f} {slow:6.1f} ms")


if __name__ == "__main__":
    main()
