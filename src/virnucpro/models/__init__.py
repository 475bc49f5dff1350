"""Forward passes of the encoders, their faster forms, and their tokenizers.

To add an encoder: write its module like dnabert_s.py; add it to Encoder and ENCODERS in
component.py, mypy then names every choice of a form or tokenizer that must know it (engine/load.py,
engine/official.py); give it a token budget in engine/memory.py and an EmbedTask in
engine/embed_task.py, with a script in bin/.
"""
