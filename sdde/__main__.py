"""``python -m sdde`` is the command ``sdde``."""

import sys

from sdde.cli import main

sys.exit(main())
