"""See kaizen_mm/commands/train.py."""

from kaizen_mm.commands.train import main

if __name__ == '__main__':
    main()
