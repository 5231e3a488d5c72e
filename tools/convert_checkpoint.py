"""See kaizen_mm/commands/convert_checkpoint.py."""

from kaizen_mm.commands.convert_checkpoint import main

if __name__ == '__main__':
    main()
