"""`python -m virnucpro`: the `virnucpro` command; the fork is started like this."""

import sys

from virnucpro.cli.main import main

sys.exit(main())
