"""``python -m fastprop`` is ``fastprop``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
