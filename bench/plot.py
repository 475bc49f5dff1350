"""Draw docs/performance.svg from bench/results; matplotlib is needed by this script only.

pip install matplotlib && python bench/plot.py
"""

import json
from typing import Any

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "virnucpro"  # the same drawing gives the same bytes
import matplotlib.pyplot as plt  # noqa: E402
from encoders import RESULTS, ROOT  # noqa: E402

OURS, OTHERS, CEILING = "#1b6ca8", "#9aa5ad", "#d8dee2"


def result(name: str) -> dict[str, Any]:
    """Return a stored result."""
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return content


def card(content: dict[str, Any]) -> str:
    """Return the short name of the GPU of a result: H100, H200."""
    name: str = content["versions"]["device"]
    return name.removeprefix("NVIDIA ").partition(" ")[0]


def main() -> None:
    """Draw both panels."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), width_ratios=(3, 2))
    peers = {name: sum(v) / len(v) for name, v in result("peers_esm2-3B")["rates"].items()}
    fp8 = result("engine_rate_esm2-3B_fp8_168tok")
    peers[f"virnucpro fp8, {card(fp8)}"] = fp8["tokens_per_s"]
    order = sorted(peers, key=lambda name: peers[name])
    colours = [
        CEILING if name.startswith("products") else OURS if "virnucpro" in name else OTHERS
        for name in order
    ]
    values = [peers[name] / 1000 for name in order]
    bars = left.barh([name.replace("products", "its products alone,") for name in order], values,
                     color=colours)  # fmt: skip
    left.bar_label(bars, [f"{value:.0f}" for value in values], padding=3)
    left.set_xlabel("thousand tokens a second")
    left.set_title(
        f"ESM-2 3B, frames of 500 bp, {card(result('peers_esm2-3B'))} unless said", fontsize=10
    )
    precision = result("precision_esm2-3B")
    rows = precision["rows"]
    names = ["fp32", "tf32", "plain half", "fp16", "bf16", "fp8"]
    distances = [1 - rows[name]["centred_cosine_min"] for name in names]
    right.bar(names, distances, color=[OTHERS if name == "plain half" else OURS for name in names])
    right.set_yscale("log")
    right.set_ylabel("1 - cosine, worst of 2,000, centred")
    right.set_title(f"distance from fair-esm in fp32, {card(precision)}", fontsize=10)
    right.tick_params(axis="x", labelrotation=30)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(ROOT / "docs" / "performance.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
