"""What the options of the encoders may be; nothing here loads torch."""

DEVICES = ("auto", "cpu", "cuda")
ENGINES = ("virnucpro", "official")
PRECISIONS = ("auto", "fp32", "tf32", "fp16", "bf16", "fp8")
CPU_PRECISIONS = ("auto", "fp32", "bf16")
OFFICIAL_PRECISIONS = ("auto", "fp32")  # of the authors' own code
ATTENTION = ("auto", "reference", "sdpa", "triton", "varlen", "flash")  # models/attention.py
CPU_ATTENTION = ("auto", "reference", "sdpa")
MIN_TOKEN_BUDGET = 1024
PROFILE_FORMAT = 1  # of the file of `virnucpro profile`
