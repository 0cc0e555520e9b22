"""The dictionary of tensors in a file of `torch.save` from anywhere.

Nothing in the file is executed: torch's `weights_only` unpickler admits tensors alone. That it can run nothing does not
keep it from filling the memory or from never ending, so before it sees the file:

- the archive has to be as `torch.save` writes it, uncompressed, so that it unpacks to no more than its own size;
- the pickle may name nothing but dictionaries, tensors and their storages;
- and it may not build tuples of tuples that it has already built, whose hashes take time exponential in their number.

What was looked at is copied and the copy is read, because two readers of one archive can find different directories.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import MotionError, shown
from .reading import regular_file

ARCHIVE = b"PK\x03\x04"  # how every file of torch.save begins since PyTorch 1.6
LARGEST_PICKLE = 1 << 20  # bytes; that of all layers of ModelScope is below 20 kB
MOST_RECORDS = 10_000
KINDS = ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
NAMED = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {kind}Storage" for kind in KINDS),
}
# What may be used again: texts, names, tensors, and dictionaries, which cannot be hashed.
REUSED = {"BINUNICODE", "SHORT_BINUNICODE", "GLOBAL", "REDUCE", "EMPTY_DICT", "EMPTY_LIST"}


def read_pickled(path: Path) -> Mapping[Any, Any]:
    """Raises MotionError for everything that is not a dictionary in an archive of `torch.save`."""
    regular_file(path)
    name = shown(path.name)
    try:
        with path.open("rb") as file:
            start = file.read(len(ARCHIVE))
            # Older formats are refused unseen: reading them was unsafe in PyTorch before 2.6, even with weights_only.
            if start != ARCHIVE:
                raise MotionError(f"{name} is not a file of torch.save: choose the published embedding itself.")
            content = torch.load(_copied(name, file), map_location="cpu", weights_only=True)
    except MotionError:
        raise
    except OSError as error:
        raise MotionError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # a damaged or hostile archive can raise anything
        reason = shown(" ".join(str(error).split()) or type(error).__name__)
        raise MotionError(f"{name} is damaged ({reason}): download it again.") from error
    if not isinstance(content, Mapping):
        raise MotionError(f"{name} holds a {type(content).__name__}, not a dictionary of tensors.")
    return content


def _copied(name: str, file: Any) -> io.BytesIO:
    """The archive's records in a new one. Raises MotionError for records that no file of torch.save has."""
    copy = io.BytesIO()
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(copy, "w") as target:
        records = archive.infolist()
        size = file.seek(0, io.SEEK_END)
        if any(record.compress_type != zipfile.ZIP_STORED for record in records):
            raise MotionError(
                f"{name} is compressed, which files of torch.save never are: choose the published file itself."
            )
        if len(records) > MOST_RECORDS or sum(record.file_size for record in records) > size:
            raise MotionError(f"{name} claims to hold more than its {size:,} bytes: download it again.")
        if len({record.filename for record in records}) < len(records):
            raise MotionError(f"{name} holds two records of one name: download it again.")
        for record in records:
            content = archive.read(record)
            if record.filename.endswith("data.pkl"):
                _check_pickle(name, content)
            target.writestr(record.filename, content)
    copy.seek(0)
    return copy


def _check_pickle(name: str, content: bytes) -> None:
    """Raise MotionError for a pickle of anything but dictionaries of tensors."""
    if len(content) > LARGEST_PICKLE:
        raise MotionError(f"{name} holds a pickle of {len(content):,} bytes, and no embedding needs one so large.")
    kept: dict[Any, str] = {}
    before = ""
    for operation, argument, _ in pickletools.genops(content):
        if operation.name == "GLOBAL" and argument not in NAMED:
            raise MotionError(
                f"{name} was refused unread, because it holds something other than plain tensors "
                f"({shown(str(argument).replace(' ', '.'))}): such a pickle could run a program; ask its authors for "
                f"the tensors alone."
            )
        if operation.name in ("BINPUT", "LONG_BINPUT"):
            kept[argument] = before
        elif operation.name in ("BINGET", "LONG_BINGET") and kept.get(argument) not in REUSED:
            raise MotionError(f"{name} uses a part of its pickle again that is not a tensor: download it again.")
        before = operation.name
