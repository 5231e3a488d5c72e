"""The drawing of the rooms, from the map for developers and from the imports: ``python -m tests.docs.rooms``."""

from html import escape
from typing import Dict, List, Set

from tests.conftest import ROOT
from tests.docs.test_developers import imported, rooms

FILE = ROOT / 'docs' / 'images' / 'rooms.svg'
WIDTH, HEIGHT, GAP, MARGIN = 132, 40, 34, 24  # of a box, between levels, around


def direct_imports() -> Dict[str, Set[str]]:
    """By room, the rooms that it imports but those of the lowest level, and those that others of these import."""
    levels = rooms()[1:]
    all_rooms = set().union(*levels)
    edges = {room: set(imported(room)) & all_rooms - {room} for room in sorted(all_rooms)}

    def reached(room: str) -> Set[str]:
        return edges[room].union(*(reached(other) for other in edges[room]))

    return {room: found - set().union(*(reached(other) for other in found)) for room, found in edges.items()}


def svg() -> str:
    """The drawing: a row of boxes for each level, the commands at the top."""
    levels: List[List[str]] = [sorted(level) for level in rooms()]
    width = 2 * MARGIN + 5 * WIDTH
    places, top = {}, MARGIN
    for level in reversed(levels[1:]):
        # neighbours in height stand beside each other, so that arrows do not run through boxes
        shift = (len(places) % 3 - 1) * WIDTH if len(level) == 1 else 0
        left = (width - len(level) * (WIDTH + GAP) + GAP) / 2 + shift
        for number, room in enumerate(level):
            places[room] = (left + number * (WIDTH + GAP), top)
        top += HEIGHT + GAP
    height = top + 3 * 18 + MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-size="15" role="img" '
        'font-family="Helvetica, Arial, sans-serif" aria-label="The rooms of kaizen_mm and what they import">',
        '<defs><marker id="end" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L10 5 L0 10 z" fill="#678"/></marker></defs>',
        f'<rect width="{width}" height="{height}" rx="8" fill="#fff"/>',
    ]
    for room, found in direct_imports().items():
        for other in sorted(found):
            (x, y), (to_x, to_y) = places[room], places[other]
            lines.append(
                f'<path d="M{x + WIDTH / 2:g} {y + HEIGHT:g} L{to_x + WIDTH / 2:g} {to_y:g}" stroke="#678" '
                'stroke-width="1.3" fill="none" marker-end="url(#end)"/>'
                if y != to_y
                else f'<path d="M{x + (WIDTH if to_x > x else 0):g} {y + HEIGHT / 2:g} '
                f'L{to_x + (0 if to_x > x else WIDTH):g} {to_y + HEIGHT / 2:g}" stroke="#678" stroke-width="1.3" '
                'fill="none" marker-end="url(#end)"/>'
            )
    for room, (x, y) in places.items():
        lines += [
            f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#eaf2fb" stroke="#1565c0"/>',
            f'<text x="{x + WIDTH / 2:g}" y="{y + 25:g}" text-anchor="middle" fill="#222">{escape(room)}</text>',
        ]
    small = levels[0]
    for number in range(3):
        words = ', '.join(small[number::3])
        lines.append(
            f'<text x="{width / 2:g}" y="{top + 18 * number + 8:g}" text-anchor="middle" fill="#555" font-size="13">'
            f'{escape(words)}</text>'
        )
    return '\n'.join([*lines, '</svg>', ''])


if __name__ == '__main__':
    FILE.write_text(svg(), encoding='utf-8')
