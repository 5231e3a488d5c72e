"""For MkDocs: what pages link to outside of docs/ becomes part of the site; equations and docstrings' roles as HTML."""

import html as escapes
import json
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent


def on_files(files, config):
    """Adds the records and figures of ``results/``, a page for each table, and one that lists them."""
    records, benchmarks = {}, {}
    for path in sorted(path for path in (ROOT / 'results').rglob('*') if path.is_file()):
        name = path.relative_to(ROOT).as_posix()
        if path.suffix == '.md':
            table = path.relative_to(ROOT / 'results').with_suffix('').as_posix()
            records[table] = json.loads(path.with_suffix('.json').read_text(encoding='utf-8'))
            content = table_page(path.stem, records[table], path.read_text(encoding='utf-8'))
            files.append(File.generated(config, name, content=content))
        else:
            files.append(File.generated(config, name, abs_src_path=str(path)))
        if path.parent.name == 'benchmarks' and path.suffix == '.json':
            benchmarks[path.stem] = json.loads(path.read_text(encoding='utf-8'))
            content = benchmark_page(path.stem, benchmarks[path.stem])
            files.append(
                File.generated(config, f'results/benchmarks/{path.stem}.md', content=content)
            )
    files.append(File.generated(config, 'tables.md', content=list_of_tables(records, benchmarks)))
    return files


def table_page(name, record, table):
    """A measured table in full, with what made it."""
    made = [f'`{record["command"]}`; {record["hardware"]}, torch {record["torch"]}']
    if 'seeds' in record:  # of weights that were trained before there are none
        made = [f'Seeds {", ".join(map(str, record["seeds"]))}. {made[0]}']
    if 'core_hours' in record:
        made.append(f'{record["core_hours"]:.1f} hours of one core by the clock')
    return f'# {name}\n\n{"; ".join(made)}. [The record]({name}.json).\n\n{table}\n![{name}]({name}.png)\n'


def benchmark_page(name, record):
    """All that a record of ``tools/benchmark.py`` holds, a line for each row; what all rows share stands above."""
    about, rows = record['about'], [dict(_cells(row)) for row in record['rows']]
    names = list(dict.fromkeys(key for row in rows for key in row))
    shared = {key: rows[0].get(key) for key in names if len({row.get(key) for row in rows}) == 1}
    columns = [key for key in names if key not in shared]
    lines = [f'| {" | ".join(columns)} |', f'|{" --- |" * len(columns)}']
    lines += [f'| {" | ".join(row.get(key, "-") for key in columns)} |' for row in rows]
    made = f'`{about["command"]}`; {about["processor"]}, {about["threads"]} threads, torch {about["torch"]}'
    same = '; '.join(f'{key}: {value}' for key, value in shared.items())
    text = 'Medians, and quartiles in brackets. Click the head of a column to sort by it.'
    return f'# {name}\n\n{made}. In all rows {same}. {text}\n\n' + '\n'.join(lines) + '\n'


def _cells(row, before=''):
    """Names and texts of what a row of a record holds."""
    for key, value in row.items():
        if isinstance(value, dict) and 'median' not in value:
            yield from _cells(value, 'time / ' if key == 'ratios' else f'{key}: ')
        elif isinstance(value, dict):
            yield before + key, '{median:.4g} ({low:.4g}-{high:.4g})'.format(**value)
        else:
            yield before + key, f'{value:.6g}' if isinstance(value, float) else str(value)


def list_of_tables(records, benchmarks):
    """All measured tables, with their size and cost."""
    text = 'Every table that was measured, drawn from its record. Click the head of a column to sort by it.'
    lines = ['# All tables', '', text, '', '## Accuracy', '']
    lines += ['| table | rows | seeds | hours of one core |', '| --- | --- | --- | --- |']
    for name, record in records.items():
        rows, seeds = (len(record.get(key, [])) or '-' for key in ('rows', 'seeds'))
        hours = f'{record["core_hours"]:.1f}' if 'core_hours' in record else '-'
        lines.append(f'| [{name}](results/{name}.md) | {rows} | {seeds} | {hours} |')
    lines += ['', '## Time and memory', '', '| record | rows |', '| --- | --- |']
    lines += [
        f'| [{name}](results/benchmarks/{name}.md) | {len(record["rows"])} |'
        for name, record in benchmarks.items()
    ]
    return '\n'.join(lines) + '\n'


def on_page_markdown(markdown, page, config, files):
    """Links to ``../results/`` as files of the site; other files of the repository as their names alone."""
    markdown = markdown.replace('](../results/', '](results/')
    return re.sub(r'\[([^\]]+)\]\(\.\./(?!results/)[^)]+\)', r'\1', markdown)


def on_page_content(html, page, config, files):
    """Equations, cross-references of docstrings, and what notebooks link to."""
    html = cross_references(equations(html))
    return notebook_links(html, page, files) if page.file.src_path.endswith('.ipynb') else html


def equations(html):
    r"""What pymdownx.arithmatex has marked as LaTeX, as MathML, which browsers typeset themselves."""

    def inline(found):
        return convert(escapes.unescape(found[1]))

    def display(found):
        return convert(escapes.unescape(found[1]), display='block')

    html = re.sub(r'<span class="arithmatex">\\\((.*?)\\\)</span>', inline, html, flags=re.DOTALL)
    return re.sub(
        r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', display, html, flags=re.DOTALL
    )


def cross_references(html):
    """Sphinx's roles in docstrings (``:class:`~package.Name```) as links into the page of the API."""

    def link(found):
        name = found[1]
        text = name.lstrip('~').rsplit('.', 1)[-1] if name.startswith('~') else name
        return f'<autoref identifier="{name.lstrip("~")}" optional><code>{text}</code></autoref>'

    return re.sub(r':(?:class|func|meth|mod|attr|data|obj|exc):<code>([^<]+)</code>', link, html)


def notebook_links(html, page, files):
    """Links of notebooks to other pages, which MkDocs follows in Markdown alone."""

    def address(found):
        target = files.get_file_from_path(found[1])
        if target is None:
            raise PluginError(f'{page.file.src_path} links to {found[1]}, which is no page')
        return f'href="{target.url_relative_to(page.file)}"'

    return re.sub(r'href="([\w/]+\.md)"', address, html)
