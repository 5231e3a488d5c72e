"""See kaizen_mm/commands/test.py."""

from kaizen_mm.commands.test import main

if __name__ == '__main__':
    main()
