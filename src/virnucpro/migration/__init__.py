"""For users of the fork: its options in, one `nextflow run` out."""
