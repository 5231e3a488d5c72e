"""Official train/test splits of UCF101 and HMDB51, and where their videos are.

- UCF101 (Soomro et al., 2012), folder `ucfTrainTestlist`: `classInd.txt` with
  `1 ApplyEyeMakeup` (from 1), `trainlist01.txt` to `03` with
  `ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1`, `testlist01.txt` to `03`
  without the label. The label written is the index of the folder, less 1.
- HMDB51 (Kuehne et al., 2011), folder `testTrainMulti_7030_splits`: for every
  class and split `<class>_test_split<k>.txt` with `name.avi flag`, flag 1 for
  training, 2 for testing, 0 for neither. The label written is the place of
  the class in alphabetical order.
"""

import re
from pathlib import Path

from kaizen_mm.data.lists import numbered_lines

ARCHIVES = ('.rar', '.zip', '.tar', '.gz', '.tgz', '.7z')
SPLITS = (1, 2, 3)


def inner_folder(path, argument, content, name=''):
    """`path`, or its folder `name` where it has one; an error otherwise."""
    path = Path(path)
    if path.is_file():
        hint = ' is an archive: unpack it and give the folder' if path.suffix.lower() in ARCHIVES else ' is a file'
        raise NotADirectoryError(f'{argument}: {path}{hint}; expected a folder with {content}')
    if not path.is_dir():
        raise FileNotFoundError(f'{argument}: no folder {path}; expected {content} there')
    return path / name if (path / name).is_dir() else path


def find_files(folder, pattern, expected, flat=False):
    """Sorted files of `<folder>/*/<pattern>`, also `<folder>/<pattern>`."""
    files = sorted(folder.glob('*/' + pattern))
    if flat:
        files += sorted(folder.glob(pattern))
    if not files:
        archives = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in ARCHIVES)
        hint = f'; it has {len(archives)} archives such as {archives[0]}: unpack them first' if archives else ''
        raise FileNotFoundError(f'videos: expected {expected}, in {folder}, found none{hint}')
    return files


def read_lines(file):
    """(line number from 1, text) of every line that is not blank."""
    return [
        (number, re.sub('[\ud800-\udfff]', '\ufffd', line.strip()))  # what is no UTF-8
        for number, line in numbered_lines(Path(file).read_bytes())
    ]


def read_ucf101_splits(folder):
    """Classes and lists of the official UCF101 split files.

    Args:
        folder (Path): Holds `classInd.txt`, `trainlist01.txt`, ...

    Returns:
        tuple: list of class names by label, and a dict from `train_split1`,
        `test_split1`, ... to lists of (`Class/file.avi`, label from 0). A
        split number without files is left out.

    Raises:
        FileNotFoundError: No `classInd.txt`, no list, or half a split.
        ValueError: A malformed line or a wrong label, with its line number;
            a list without lines.
    """
    index = folder / 'classInd.txt'
    if not index.is_file():
        raise FileNotFoundError(
            f'splits: expected classInd.txt, trainlist01.txt, testlist01.txt, ... in {folder}, found no classInd.txt'
        )
    classes = []
    for number, line in read_lines(index):
        if line.split() != [str(len(classes) + 1), line.split()[-1]] or line.split()[-1] in classes:
            raise ValueError(f'{index}, line {number}: expected "{len(classes) + 1} <new class name>", found "{line}"')
        classes.append(line.split()[-1])
    labels = {name: label for label, name in enumerate(classes)}
    lists = {}
    for split in SPLITS:
        files = {kind: folder / f'{kind}list{split:02}.txt' for kind in ('train', 'test')}
        absent = [f.name for f in files.values() if not f.is_file()]
        if len(absent) == 2:
            continue
        if absent:
            raise FileNotFoundError(f'splits: split {split} lacks {absent[0]} in {folder}')
        for kind, file in files.items():
            entries = lists[f'{kind}_split{split}'] = []
            for number, line in read_lines(file):
                match = re.fullmatch(r'(([^/\s]+)/\S+\.avi)(?:\s+(\d+))?', line)
                if not match or (kind == 'train') != bool(match[3]):
                    raise ValueError(
                        f'{file}, line {number}: expected "<Class>/<file>.avi'
                        f'{" <label>" * (kind == "train")}", found "{line}"'
                    )
                label = labels.get(match[2])
                if label is None:
                    raise ValueError(f'{file}, line {number}: {index.name} has no class "{match[2]}"')
                if match[3] and int(match[3]) != label + 1:
                    raise ValueError(
                        f'{file}, line {number}: label {match[3]} of "{line}" is {label + 1} in {index.name}'
                    )
                entries.append((match[1], label))
            if not entries:
                raise ValueError(f'split {split}: {file} is empty')
    if not lists:
        raise FileNotFoundError(f'splits: expected trainlist01.txt, testlist01.txt, ... in {folder}, found no split')
    return classes, lists


def read_hmdb51_splits(folder):
    """Classes and lists of the official HMDB51 split files.

    Args:
        folder (Path): Holds `<class>_test_split1.txt`, ...

    Returns, raises: As `read_ucf101_splits`; a class that has no file for a
    split that others have is a FileNotFoundError.
    """
    files = {}
    for file in folder.glob('*_test_split?.txt'):
        match = re.fullmatch(r'(.+)_test_split([123])', file.stem)
        if match:
            files[match[1], int(match[2])] = file
    if not files:
        raise FileNotFoundError(f'splits: expected <class>_test_split1.txt, ... in {folder}, found none')
    classes = sorted({name for name, _ in files})
    lists = {}
    for split in SPLITS:
        absent = [name for name in classes if (name, split) not in files]
        if len(absent) == len(classes):
            continue
        if absent:
            raise FileNotFoundError(
                f'splits: split {split} lacks {absent[0]}_test_split{split}'
                f'.txt in {folder} ({len(absent)} of {len(classes)} classes)'
            )
        entries = {'0': [], '1': [], '2': []}  # unused, train, test
        for label, name in enumerate(classes):
            file = files[name, split]
            for number, line in read_lines(file):
                match = re.fullmatch(r'(.+\.avi)\s+([012])', line)
                if not match:
                    raise ValueError(f'{file}, line {number}: expected "<file>.avi 0|1|2", found "{line}"')
                entries[match[2]].append((f'{name}/{match[1]}', label))
        for kind, flag in (('train', '1'), ('test', '2')):
            if not entries[flag]:
                raise ValueError(f'split {split}: no line of {folder}/*_test_split{split}.txt has flag {flag} ({kind})')
            lists[f'{kind}_split{split}'] = entries[flag]
    return classes, lists
