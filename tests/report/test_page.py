"""The page, as a browser would read it."""

import base64
import re
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from kaizen_mm.introspection import FRESH, RecurrenceReport
from kaizen_mm.report import Outcomes, pictures, render, write_report
from kaizen_mm.report.pictures import thumbnail
from kaizen_mm.uncertainty import iterates_verdict
from tests.report.test_outcomes import LABELS, RIGHT, outcomes

ALONE = {'meta', 'img', 'br', 'link'}


class Page(HTMLParser):
    """Text, addresses and tags of a page; fails where tags are not closed in their order."""

    def __init__(self, html: str):
        super().__init__()
        self.text, self.addresses, self.tags, self._open = '', [], [], []
        self.feed(html)
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ('src', 'href')]
        if tag not in ALONE:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += f' {data}'


def report(weights: float, state: str = FRESH) -> RecurrenceReport:
    return RecurrenceReport(
        {'layer4.1': torch.full((1, 1, 6), weights)},
        {'layer4.1': ('conv1',)},
        torch.full((1, 6), 0.25),
        torch.tensor([[True, True, True, False, False, False]]),
        {'layer4.1': state},
    )


def squeezed(page: Page) -> str:
    return re.sub(r'\s+', ' ', page.text.replace('\u200b', ''))


def test_all_that_is_known_is_on_a_page_of_its_own(tmp_path):
    found = outcomes(RIGHT, LABELS)
    found.files = [str(tmp_path / f'{n}.png') for n in range(6)]
    found.recurrence = report(0.5)
    for file in found.files:
        Image.new('RGB', (40, 20), (200, 0, 0)).save(file)
    page = Page(render(found, 'a title', dict(checkpoint='epoch_1.pth')))
    text = squeezed(page)
    for part in (
        'a title',
        'epoch_1.pth',
        '6, 3, 2',
        '33.3',
        '66.7',
        '3 corrected, 1 broken',
        '+33.3',
        'weights of layer4.1.conv1 0.5 (0.5 – 0.5)',
        'logits 0.25',
        'predictions [%] 50.0',
        'class 2 0 – –',
        'right in the last ( 3 )',
        'wrong in the last ( 1 )',
    ):
        assert part.replace('( ', '(').replace(' )', ')') in text.replace('( ', '(').replace(' )', ')'), part
    assert 'does nothing' not in text
    assert page.addresses and all(address.startswith('data:image/') for address in page.addresses), 'nothing is loaded'
    assert not {'script', 'link', 'iframe'} & set(page.tags)
    pictures = [Image.open(BytesIO(base64.b64decode(address.partition(',')[2]))) for address in page.addresses]
    assert [p.size for p in pictures if p.format == 'JPEG'] == [(192, 96)] * 4, 'a thumbnail of each sample shown'
    assert sum(p.format == 'PNG' for p in pictures) == 4, 'accuracy, early exits, both confusion matrices'


@pytest.mark.parametrize('right', [RIGHT, [[0, 1]] * 6, [[1, 0]] * 6, [[1], [0]] * 3])
def test_the_verdict_is_that_of_training_and_test(right):
    html = render(outcomes(right, LABELS), 'title')
    assert iterates_verdict(right) in squeezed(Page(html))
    assert ('class="verdict"' in html) == (right in (RIGHT, [[1, 0]] * 6)), 'red unless the iterations help'


def test_a_recurrence_that_does_nothing_is_named_with_its_reason():
    found = outcomes(RIGHT, LABELS)
    found.recurrence = report(1e-6)
    text = squeezed(Page(render(found, 'title')))
    assert 'The recurrence does nothing. h is fresh' in text


def test_a_plain_network_has_nothing_to_compare():
    page = Page(render(outcomes([[1], [0]], [0, 1]), 'title'))
    text = squeezed(page)
    assert 'nothing to compare' in text and 'corrected' not in text and 'What the iterations change' not in text
    assert len(page.addresses) == 1


def test_names_and_files_are_no_html():
    found = outcomes(RIGHT, LABELS)
    found.names[0], found.files[0] = '<script>alert(1)</script>', '"><b>x.png'
    html = render(found, '<i>title</i>')
    Page(html)
    assert '<script' not in html and '<b>' not in html and '<i>title' not in html and '&lt;script&gt;' in html


def test_names_are_neither_mathematics_nor_control_characters(monkeypatch):
    found = outcomes(RIGHT, LABELS)
    found.names[:2] = ['$\\frac{1}$ \x1b]0;', 'a$ and b$']
    found.files[0] = 'name \udcff \u202egpj.exe'
    drawn, address = [], pictures._address
    monkeypatch.setattr(pictures, '_address', lambda figure: drawn.append(figure) or address(figure))
    html = render(found, 'title')
    html.encode('utf-8')
    assert '\x1b' not in html and '\u202e' not in html and r'name \xff \u202egpj.exe' in html
    ticks = [label for figure in drawn for axis in figure.axes for label in axis.get_xticklabels()]
    texts = {label._preprocess_math(label.get_text()) for label in ticks}
    assert ('a$ and b$', False) in texts and (r'$\frac{1}$ \x1b]0;', False) in texts


def test_of_many_samples_and_classes_the_most_telling_are_shown():
    n, classes = 100, 70
    found = outcomes(np.tile([0, 1], (n, 1)), np.arange(n) % classes, classes)
    text = squeezed(Page(render(found, 'title', samples=5)))
    assert '5 of 100, those in which' in text and '10 more classes' in text and text.count('true:') == 5
    assert squeezed(Page(render(found, 'title', samples=0))).count('true:') == 0


def test_the_thumbnail_of_a_video_is_a_strip_of_frames(digits, tmp_path):
    video = next((digits / 'videos').glob('**/*.mp4'))
    strip = thumbnail(video, height=20)
    picture = Image.open(BytesIO(base64.b64decode(strip.address.partition(',')[2])))
    assert strip.frames == 5 and picture.size == (5 * 20 + 4 * 2, 20)
    (tmp_path / 'text.txt').write_text('no picture')
    assert thumbnail(tmp_path / 'text.txt').address == thumbnail(tmp_path / 'missing.png').address == ''


def test_the_thumbnail_of_data_in_memory_is_made_of_its_pixels():
    found = outcomes(RIGHT, LABELS)
    found.pixels = lambda sample: np.full((10, 30, 3), (255, 0, 0), np.uint8)
    pages = [Page(render(found, 'title')).addresses]
    picture = next(Image.open(BytesIO(base64.b64decode(a.partition(',')[2]))) for a in pages[0] if 'jpeg' in a)
    red, green, blue = picture.getpixel((5, 5))
    assert picture.size == (288, 96) and red > 245 and green < 10 and blue < 10


def test_a_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    found = outcomes(RIGHT, LABELS)
    write_report(found, tmp_path / 'new' / 'a.html', 'title')
    before = (tmp_path / 'new' / 'a.html').read_text()
    assert before.startswith('<!DOCTYPE html>') and before.endswith('</html>\n')
    monkeypatch.setattr(Outcomes, 'confusion', lambda self, iterate: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(found, tmp_path / 'new' / 'a.html', 'title')
    assert (tmp_path / 'new' / 'a.html').read_text() == before and len(list((tmp_path / 'new').iterdir())) == 1
