"""See kaizen_mm/commands/compare.py."""

from kaizen_mm.commands.compare import main

if __name__ == '__main__':
    main()
