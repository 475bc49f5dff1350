"""Why a frame has no vector, and so no score.

The reasons are numbers in HDF5 files and checkpoints, and words in tables.
"""

HAS_VECTOR, NOT_FINITE, TOO_LONG_FOR_GPU = range(3)
NO_VECTOR_REASONS = ("", "not_finite", "too_long_for_gpu")  # by number; "" of a frame that has one
SENTENCES = {
    "not_finite": "its vector is not finite, in float32 either",
    "too_long_for_gpu": "it is too long for the GPU's memory",
}
