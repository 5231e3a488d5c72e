"""For MkDocs: what pages link to outside of docs/ becomes part of the site."""

import re
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent


def on_files(files, config):
    """Adds the records and figures of ``results/``."""
    for path in sorted(path for path in (ROOT / 'results').rglob('*') if path.is_file()):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links to ``../results/`` as files of the site; other files of the repository as their names alone."""
    markdown = markdown.replace('](../results/', '](results/')
    return re.sub(r'\[([^\]]+)\]\(\.\./(?!results/)[^)]+\)', r'\1', markdown)


def on_page_content(html, page, config, files):
    """Links of notebooks to other pages, which MkDocs follows in Markdown alone."""
    if not page.file.src_path.endswith('.ipynb'):
        return html

    def address(found):
        target = files.get_file_from_path(found[1])
        if target is None:
            raise PluginError(f'{page.file.src_path} links to {found[1]}, which is no page')
        return f'href="{target.url_relative_to(page.file)}"'

    return re.sub(r'href="([\w/]+\.md)"', address, html)
