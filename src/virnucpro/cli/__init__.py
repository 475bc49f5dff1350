"""The `virnucpro` command: what is done around the pipeline, not inside its tasks."""
