"""See kaizen_mm/commands/report.py."""

from kaizen_mm.commands.report import main

if __name__ == '__main__':
    main()
