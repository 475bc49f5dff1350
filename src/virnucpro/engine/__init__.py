"""Device, packing and the embedding loop."""
