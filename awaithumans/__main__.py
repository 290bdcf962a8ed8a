"""`python -m awaithumans`: read and repair the tasks in a database."""

import sys

from awaithumans.commands import main

if __name__ == "__main__":
    sys.exit(main())
