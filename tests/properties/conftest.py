"""How many examples the property tests try."""

import os

from hypothesis import HealthCheck, settings

COMMON = {
    "deadline": None,  # limits.py limits the CPU time instead: other programs run too
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow],
}
# `make test`: the same examples each time. `make fuzz`: others each time (tools/fuzz.py).
settings.register_profile("test", max_examples=30, derandomize=True, **COMMON)
settings.register_profile("fuzz", max_examples=200, print_blob=True, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "test"))
