"""Training of classifiers and of the compact model set."""
