"""See kaizen_mm/commands/reproduce.py."""

from kaizen_mm.commands.reproduce import main

if __name__ == '__main__':
    main()
