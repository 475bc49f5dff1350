"""Official files into model sets: fetched, checked, read and converted."""
