"""For MkDocs: what pages link to outside of docs/ becomes part of the site."""
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent


def on_files(files, config):
    """Adds the records and figures of ``results/``."""
    for path in sorted((ROOT / 'results').iterdir()):
        files.append(File.generated(config, f'results/{path.name}', abs_src_path=str(path)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links to ``../results/`` as files of the site; other files of the repository as their names alone."""
    markdown = markdown.replace('](../results/', '](results/')
    return re.sub(r'\[([^\]]+)\]\(\.\./(?!results/)[^)]+\)', r'\1', markdown)
