"""Write assets/health/compact-500.json, what `virnucpro health` expects of the bundled set.

usage: write_health_expectation.py. Computes on a CPU in float32; run it after a change of the set
or of the frames in src/virnucpro/health/forward.py.
"""

import json
import sys
from pathlib import Path

import torch

from virnucpro.health import forward
from virnucpro.model_sets.description import read_model_set

PROJECT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Compute and write it."""
    model_set = read_model_set(PROJECT / forward.BUNDLED_SET)
    result = forward.run_frames(model_set, torch.device("cpu"), "fp32")
    content = {
        "made_by": f"tools/write_health_expectation.py, torch {torch.__version__}, CPU, float32",
        "components": {part.role: part.sha256 for part in model_set.components},
        "frames": forward.FRAMES,
        "p_virus": [float(str(p)) for p in result.p_virus],
        **{
            name: [[float(str(x)) for x in row] for row in rows]
            for name, rows in result.vectors.items()
        },
    }
    target = PROJECT / forward.EXPECTATION
    target.parent.mkdir(parents=True, exist_ok=True)
    text = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in content.items())
    target.write_text(f"{{\n{text}\n}}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
