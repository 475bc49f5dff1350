"""GPU kernels in Triton, each with a plain definition in the tests. Imported on a GPU only."""
