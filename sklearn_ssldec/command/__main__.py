"""``python -m sklearn_ssldec.command`` is the command `ssldec`."""

import sys

from sklearn_ssldec.command import main

if __name__ == "__main__":
    sys.exit(main())
