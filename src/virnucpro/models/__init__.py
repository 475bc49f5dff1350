"""Forward passes of the two encoders, and their tokenizers."""
