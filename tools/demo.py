"""See kaizen_mm/commands/demo.py."""

from kaizen_mm.commands.demo import main

if __name__ == '__main__':
    main()
