"""Loading pretrained parts: offline, whole or not at all, and without a word to the terminal."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch


def pretrained(kind: Any, folder: Path, dtype: torch.dtype, variant: str | None) -> Any:
    """The model of a class of diffusers or transformers whose weights lie in `folder`.

    Safetensors are preferred; pickles are read as weights only, which cannot run code. Raises ValueError when weights
    that the model needs are not in the files: the two libraries would fill them with random numbers.
    """
    model, found = kind.from_pretrained(
        folder,
        torch_dtype=dtype,
        variant=variant,
        local_files_only=True,
        low_cpu_mem_usage=False,
        output_loading_info=True,
    )
    if missing := sorted(found["missing_keys"]):
        raise ValueError(f"{folder.name}: the weights lack {len(missing)} tensors, the first is {missing[0]}")
    return model


@contextmanager
def quietly() -> Iterator[None]:
    """Without the progress bars and advice that diffusers and transformers print while loading; errors still show."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries: tuple[Any, ...] = (diffusers_logging, transformers_logging)
    before = [(library.get_verbosity(), library.is_progress_bar_enabled()) for library in libraries]
    try:
        for library in libraries:
            library.set_verbosity(logging.ERROR)
            library.disable_progress_bar()
        yield
    finally:
        for library, (verbosity, bar) in zip(libraries, before, strict=True):
            library.set_verbosity(verbosity)
            if bar:
                library.enable_progress_bar()
