"""From frame files to embeddings: device, engine, batches, runners, and the task that uses them."""
