"""For users of the fork: turns its options into one `nextflow run`."""
