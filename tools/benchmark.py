"""See kaizen_mm/commands/benchmark.py."""

from kaizen_mm.commands.benchmark import main

if __name__ == '__main__':
    main()
