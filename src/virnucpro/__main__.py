"""`python -m virnucpro`: the command, as the fork is started."""

import sys

from virnucpro.cli.main import main

sys.exit(main())
