"""Whether a model set works on this machine, how exact and how fast. No pipeline task runs this."""
