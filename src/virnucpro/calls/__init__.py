"""The calls of a sample and its result tables; what SUMMARISE runs."""
