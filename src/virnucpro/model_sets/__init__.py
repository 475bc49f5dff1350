"""Model sets: built from official files, checked, listed. No task of the pipeline runs this."""
