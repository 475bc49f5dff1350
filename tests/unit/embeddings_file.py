"""A file of embeddings, written in one go."""

from virnucpro.embeddings.store import EmbeddingsWriter


def write_embeddings(path, ids, embeddings, provenance, no_vector=None):
    assert embeddings.ndim == 2 and len(ids) == len(embeddings), "one vector for each id"
    writer = EmbeddingsWriter(path, ids, embeddings.shape[1])
    writer.write(0, embeddings)
    writer.finish(provenance, no_vector)
