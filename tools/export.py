"""See kaizen_mm/commands/export.py."""

import sys

from kaizen_mm.commands.export import main

if __name__ == '__main__':
    sys.exit(main())
