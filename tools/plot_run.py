"""See kaizen_mm/commands/plot_run.py."""

from kaizen_mm.commands.plot_run import main

if __name__ == '__main__':
    main()
