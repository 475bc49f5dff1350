"""Training of classifiers on the embeddings of frozen encoders (--workflow train)."""
