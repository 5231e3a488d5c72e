"""See kaizen_mm/commands/new.py."""

from kaizen_mm.commands.new import main

if __name__ == '__main__':
    main()
