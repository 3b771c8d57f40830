"""What the explorer costs in a browser: `python bench/explorer.py [NODES EDGES]`, or 7,500 and 100,000.

A page with a random graph of 26 layers and 64 tokens is opened in headless Chromium without a GPU. Printed
are CPU seconds of the page's process until its first picture is complete, with all edges shown. For pointing
at nodes and for dragging, printed are the milliseconds that the page takes for an event, those until the
frame that shows it, and the CPU milliseconds of an event. Beside them stand those of a frame in which nothing
happens, because frames are late on a busy machine, and those of a step of the pruning slider, which has no
limit. It needs the extra `browser`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, sync_playwright

from bench.chromium import FLAGS, chromium
from circuitstore.viewer.bundle import pack, smallest
from circuitstore.viewer.page import page

LAYERS, TOKENS, MOVES = 26, 64, 60
FIRST, ANSWER = 2.0, 33.0  # limits: CPU seconds, and milliseconds

# Events on the picture, one after the other; for each, ms until it is handled and until the next frame.
MEASURE = """async ([from, what, moves]) => {
  const box = document.querySelector(".picture"), { left, top, width, height } = box.getBoundingClientRect();
  const fire = (type, x, y) => box.dispatchEvent(new PointerEvent(type,
    { clientX: left + x, clientY: top + y, button: 0, pointerId: 1, bubbles: true }));
  box.setPointerCapture = () => {};
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const times = [];
  const slider = document.querySelector("input[name=share]");
  const drag = what === "drag";
  if (drag) fire("pointerdown", width / 2, height / 2);
  for (let k = 0; k < moves; k++) {
    const x = width * (0.1 + 0.8 * ((k * 0.618 + from) % 1));
    const y = height * (0.1 + 0.75 * ((k * 0.382 + from) % 1));
    const began = performance.now();
    if (drag) fire("pointermove", width / 2 + 3 * k, height / 2 + 2 * k);
    else if (what === "hover") fire("pointermove", x, y);
    else if (what === "prune") {
      slider.value = 0.3 + (0.7 * k) / moves;
      slider.dispatchEvent(new Event("input", { bubbles: true }));
    }
    const handled = performance.now();
    await frame();
    times.push([handled - began, performance.now() - began]);
  }
  if (drag) fire("pointerup", width / 2 + 3 * moves, height / 2 + 2 * moves);
  return times;
}"""


def record(n_nodes: int, n_edges: int) -> dict[str, Any]:
    """A random graph in the form of `circuitstore.viewer.graphs.graph_record`.

    Each feature has an edge from its token and one to the output, so that a share of 1 keeps them all.
    """
    random = np.random.default_rng(0)
    n_features = n_nodes - TOKENS - 1
    layer = np.concatenate([random.integers(0, LAYERS, n_features), np.full(TOKENS, -1), [LAYERS]])
    position = np.concatenate([random.integers(0, TOKENS, n_features), np.arange(TOKENS), [TOKENS - 1]])
    source, target = random.integers(0, n_nodes, (2, 8 * n_edges))
    allowed = (layer[source] < layer[target]) & (position[source] <= position[target])
    features, rest = np.arange(n_features), n_edges - 2 * n_features
    source = np.concatenate([n_features + position[features], features, source[allowed][:rest]])
    target = np.concatenate([features, np.full(n_features, n_nodes - 1), target[allowed][:rest]])
    weight = (random.standard_normal(len(source)) ** 3).astype(np.float32)
    influence = random.random(n_nodes).astype(np.float32)
    order = np.argsort(-influence)
    cumulative = np.empty(n_nodes, dtype=np.float32)
    cumulative[order] = np.cumsum(influence[order]) / influence.sum()
    kind = np.repeat([0, 2, 3], [n_features, TOKENS, 1])
    return {
        "title": "random",
        "text": f"{n_nodes} nodes",
        "pruned": False,
        "tokens": [f" t{i}" for i in range(TOKENS)],
        "roles": [],
        "n_layers": LAYERS,
        "labels": {},
        "thresholds": [1.0, 1.0],
        "logits": {"text": ["x"], "probability": np.ones(1, np.float32), "weight": np.ones(1, np.float32)},
        "nodes": {
            **{name: smallest(values) for name, values in (("kind", kind), ("layer", layer))},
            "position": smallest(position),
            "feature": smallest(random.integers(0, 16384, n_nodes)),
            "original": smallest(np.arange(n_nodes)),
            "activation": influence,
            "influence": influence,
            "cumulative": cumulative,
            "total": np.bincount(target, np.abs(weight), minlength=n_nodes).astype(np.float32),
            "kept": np.ones(n_nodes, dtype=np.uint8),
        },
        "influence_total": float(influence.sum()),
        "count": {"nodes": n_nodes, "edges": len(source)},
        "edges": {
            "source": smallest(source),
            "target": smallest(target),
            "weight": weight,
            "kept": np.ones(len(source), dtype=np.uint8),
        },
        "scores": {},
    }


def cpu_seconds(browser: Browser) -> float:
    """CPU seconds that all processes which show pages have used."""
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return float(sum(each["cpuTime"] for each in processes if each["type"] == "renderer"))


def line(name: str, values: list[float]) -> str:
    """Median, 95th percentile and maximum in ms, and the median beside the limit."""
    middle, high = np.percentile(values, (50, 95))
    numbers = f"{middle:>8.1f}{high:>8.1f}{max(values):>8.1f}"
    return f"{name:<24}{numbers} ms   limit {ANSWER:.0f}   median/limit {middle / ANSWER:.2f}"


def main(n_nodes: int = 7500, n_edges: int = 100_000) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "page.html"
        data = pack(record(n_nodes, n_edges))
        path.write_bytes(page("bench", {"graph/b/random": data}, "#/graph/b/random"))
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        print(f"{n_nodes} nodes, {n_edges} edges, page {path.stat().st_size / 1e6:.2f} MB, {browser.version}")
        shown = browser.new_context(viewport={"width": 1920, "height": 1080}).new_page()
        before = cpu_seconds(browser)
        shown.goto(path.as_uri())
        shown.wait_for_selector(".picture[data-drawn]", timeout=120_000)
        first = cpu_seconds(browser) - before
        print(f"shown: {shown.locator('.heading dd').last.inner_text()}")
        print(f"first picture {first:>30.2f} CPU s   limit {FIRST:.0f}   ratio {first / FIRST:.2f}")
        for name in ("nothing", "hover", "drag", "prune"):
            before = cpu_seconds(browser)
            times = shown.evaluate(MEASURE, [0.31, name, MOVES])
            cpu = 1000 * (cpu_seconds(browser) - before) / MOVES
            print(line(f"{name}, handled", [handled for handled, _ in times]))
            print(line(f"{name}, on the screen", [seen for _, seen in times]) + f"   {cpu:.1f} CPU ms each")
        browser.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
