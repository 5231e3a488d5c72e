"""See kaizen_mm/commands/prepare_data.py."""

import sys

from kaizen_mm.commands.prepare_data import main

if __name__ == '__main__':
    sys.exit(main())
