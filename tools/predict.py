"""See kaizen_mm/commands/predict.py."""

import sys

from kaizen_mm.commands.predict import main

if __name__ == '__main__':
    sys.exit(main())
