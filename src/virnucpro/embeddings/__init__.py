"""The HDF5 file that carries embeddings from the encoders to the classifier."""
