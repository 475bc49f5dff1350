"""Model sets: official files in, checked and traced; no pipeline task runs this."""
