"""Reading, chunking and six-frame translation of DNA."""
