"""How exact and how fast a model set is on this machine. No task of the pipeline runs this."""
