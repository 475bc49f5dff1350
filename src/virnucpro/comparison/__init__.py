"""Two runs beside each other: their tables, row by row, and their embeddings."""
