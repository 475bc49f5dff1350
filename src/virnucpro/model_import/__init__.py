"""Model sets from published files: download, check, read and convert them."""
