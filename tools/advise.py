"""See kaizen_mm/commands/advise.py."""

import sys

from kaizen_mm.commands.advise import main

if __name__ == '__main__':
    sys.exit(main())
