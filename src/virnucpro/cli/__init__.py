"""The `virnucpro` command: everything around the pipeline. No task runs this."""
