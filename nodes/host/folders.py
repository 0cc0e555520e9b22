"""Where models, embeddings and results live."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

from ...motion_lib.backbones.folder import read_json
from ...motion_lib.bundled import samples
from ...motion_lib.bundled.models import BUNDLED
from ...motion_lib.errors import MotionError, shown

EMBEDDINGS = "motion_embeddings"  # the name of the folder in ComfyUI's models, and its key in extra_model_paths.yaml
EMBEDDING_SUFFIX = ".safetensors"
SAMPLES = Path(samples.__file__).parent  # clips and embeddings that come with the pack
HOSTED = ("UNet3DConditionModel",)  # families, by class, that have a form inside ComfyUI
TRAINED, INVERTED = "trained", "inverted"  # sub-folders of results, by a hash of what they were made from


def register_folders() -> None:
    """Make models/motion_embeddings known, keeping the folders that extra_model_paths.yaml may have added, and the
    embeddings and the small Wan that come with the pack."""
    for kind in ("diffusion_models", "vae"):
        folder_paths.add_model_folder_path(kind, str(BUNDLED["sprite_wan"][0] / kind))
    folder_paths.add_model_folder_path(EMBEDDINGS, os.path.join(folder_paths.models_dir, EMBEDDINGS))
    folder_paths.add_model_folder_path(EMBEDDINGS, str(SAMPLES))
    paths, _ = folder_paths.folder_names_and_paths[EMBEDDINGS]
    folder_paths.folder_names_and_paths[EMBEDDINGS] = (paths, {EMBEDDING_SUFFIX})


def embedding_names() -> list[str]:
    return folder_paths.get_filename_list(EMBEDDINGS)


def embedding_path(name: str) -> Path:
    """Of an existing embedding; raises MotionError when it is gone."""
    path = folder_paths.get_full_path(EMBEDDINGS, name)
    if path is None:
        raise MotionError(
            f"There is no motion embedding {shown(name)} in models/{EMBEDDINGS}: choose another, or put it there."
        )
    return Path(path)


def new_embedding_path(name: str) -> Path:
    """Where an embedding of this name is written; raises MotionError for a name that would leave the folder."""
    root = Path(folder_paths.get_folder_paths(EMBEDDINGS)[0]).resolve()
    try:
        path = (root / name.strip()).resolve()
    except (OSError, ValueError):  # a NUL byte, half a character, a loop of links: no name at all
        path = root
    if not name.strip() or root not in path.parents:
        raise MotionError(f"name is '{shown(name)}', but it must be a file name inside models/{EMBEDDINGS}.")
    return path if path.suffix == EMBEDDING_SUFFIX else path.with_name(path.name + EMBEDDING_SUFFIX)


def result_path(kind: str, name: str) -> Path:
    return Path(folder_paths.get_folder_paths(EMBEDDINGS)[0]) / kind / name


def temporary_path(name: str) -> Path:
    """A file that the browser can ask for and that the next start of ComfyUI removes."""
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def video_models() -> dict[str, Path]:
    """The bundled models that stock nodes do not load, and every text-to-video model in diffusers layout in
    models/diffusers, by name."""
    found = {name: folder for name, (folder, _) in BUNDLED.items() if (folder / "unet").is_dir()}
    for root in folder_paths.get_folder_paths("diffusers"):
        seen: set[str] = set()  # links may lead back to where the walk has been
        for folder, inside, _ in os.walk(root, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:
                inside.clear()
                continue
            seen.add(real)
            inside.sort()
            if "unet" not in inside:
                continue
            inside.clear()  # a model; nothing to look for inside
            if _family(Path(folder, "unet", "config.json")) in HOSTED:
                found.setdefault(Path(folder).relative_to(root).as_posix(), Path(folder))
    return found


def _family(config: Path) -> object:
    try:
        return read_json(config).get("_class_name")
    except MotionError:
        return None  # somebody else's folder; choosing it by name reports what is wrong
