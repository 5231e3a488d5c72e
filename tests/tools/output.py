"""What commands print."""

from typing import Dict, List


def last_table(output: str) -> Dict[str, List[str]]:
    """The last table of iterates in a log: for every column its values as they stand there, first iterate first."""
    lines = output.splitlines()
    start = max(i for i, line in enumerate(lines) if line.startswith('iterate '))
    names, rows = lines[start].split()[1:], []
    for line in lines[start + 1 :]:
        cells = line.split()
        if len(cells) != len(names) + 1 or cells[0] != str(len(rows) + 1):
            break
        rows.append(cells[1:])
    return {name: list(column) for name, column in zip(names, zip(*rows))}
