"""See kaizen_mm/commands/calibrate.py."""

from kaizen_mm.commands.calibrate import main

if __name__ == '__main__':
    main()
