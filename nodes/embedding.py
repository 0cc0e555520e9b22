"""Keeping and sharing motion embeddings."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from contextlib import suppress
from dataclasses import replace

from comfy_api.latest import io

from ..motion_lib.errors import MotionError, shown
from ..motion_lib.files.compress import BITS
from ..motion_lib.files.details import written_details
from ..motion_lib.files.embedding_file import load_embedding, save_embedding
from ..motion_lib.method.application import usual_patch
from ..motion_lib.method.embedding import MotionEmbedding
from ..motion_lib.method.records import Origin
from ..motion_lib.training.provenance import thumbnail
from .checks import checked
from .host.folders import EMBEDDINGS, embedding_names, embedding_path, new_embedding_path, temporary_path
from .host.images import frames_of
from .host.kinds import kind_of
from .host.shown import NODE_ID, say
from .schema import MotionEmbeddingType, advanced, schema

PREVIEW = re.compile(r"data:image/(?P<kind>jpeg|png|webp);base64,(?P<data>[A-Za-z0-9+/=]+)")
SHOWN = ("preset", "trained_steps", "loss", "learning_rate", "seed", "model")
LONGEST_TEXT = 400  # characters of what a file says
WHOLE = "no"
NONE = "no embedding in models/" + EMBEDDINGS


class SaveMotionEmbedding(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "SaveEmbedding",
            display_name="Save Motion Embedding",
            description=f"Writes an embedding to models/{EMBEDDINGS}, with a title and a preview, ready to be shared.",
            search_aliases=["export motion", "share motion"],
            is_output_node=True,
            hidden=[NODE_ID],
            inputs=[
                MotionEmbeddingType.Input("motion_embedding", tooltip="The motion, from Train Motion Embedding."),
                io.String.Input(
                    "name",
                    default="my_motion",
                    tooltip=f"The file name in models/{EMBEDDINGS}; folder/name makes a folder.",
                ),
                io.String.Input("title", default="", tooltip="The title that model browsers show; if empty, the name."),
                io.String.Input("author", default="", tooltip="Who made it; this may stay empty."),
                io.String.Input("license", default="", tooltip="The licence under which others may use it."),
                io.Image.Input(
                    "preview",
                    optional=True,
                    tooltip="Frames of the reference or of a result to show. If unconnected, the file keeps those that "
                    "training was given.",
                ),
                advanced(
                    io.Combo,
                    "compress",
                    options=[WHOLE, *map(str, BITS)],
                    default=WHOLE,
                    tooltip="How many bits to store per value of the value embeddings. 2 makes the file a seventh of "
                    "its size; as far as measured, videos move the same (docs/edits.md).",
                ),
            ],
            outputs=[
                MotionEmbeddingType.Output(
                    display_name="motion_embedding", tooltip="The same motion, to connect further."
                )
            ],
        )

    @classmethod
    @checked
    def execute(
        cls,
        motion_embedding: MotionEmbedding,
        name: str,
        title: str,
        author: str,
        license: str,
        preview=None,
        compress: str = WHOLE,
    ) -> io.NodeOutput:
        path = new_embedding_path(name)
        origin = Origin(
            title=title.strip() or path.stem,
            author=author.strip() or None,
            license=license.strip() or None,
            thumbnail=None if preview is None else thumbnail(frames_of(preview)),
        )
        embedding = replace(motion_embedding, origin=motion_embedding.origin.merged(origin))
        save_embedding(path, embedding, bits=None if compress == WHOLE else int(compress))
        text = f"Saved {path.name}, {os.path.getsize(path) / 1e6:.1f} MB.\n{describe(embedding)}"
        return io.NodeOutput(embedding, ui=_shown(cls, embedding, text))


class LoadMotionEmbedding(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        names = embedding_names()
        return schema(
            "LoadEmbedding",
            display_name="Load Motion Embedding",
            description=f"Reads an embedding from models/{EMBEDDINGS} and shows what it says about itself.",
            search_aliases=["motion file", "import motion"],
            hidden=[NODE_ID],
            inputs=[
                io.Combo.Input(
                    "name",
                    options=names or [NONE],
                    tooltip=f"A file in models/{EMBEDDINGS}; the folder trained there holds results of Train Motion "
                    "Embedding.",
                ),
                io.Model.Input(
                    "model", optional=True, tooltip="Connect a MODEL to be told at once whether the embedding fits it."
                ),
            ],
            outputs=[
                MotionEmbeddingType.Output(
                    display_name="motion_embedding", tooltip="The motion, for Apply Motion Embedding."
                )
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, name: str, **others) -> str:
        path = embedding_path(name)
        return f"{path.stat().st_mtime_ns} {path.stat().st_size}"

    @classmethod
    def execute(cls, name: str, model=None) -> io.NodeOutput:
        embedding = load_embedding(embedding_path(name))
        if model is not None:
            embedding.check_fits(kind_of(model).backbone, name)
        return io.NodeOutput(embedding, ui=_shown(cls, embedding, describe(embedding)))


def describe(embedding: MotionEmbedding) -> str:
    """A few lines for people, none of them long, whatever the file says."""
    details = written_details(embedding.origin, embedding.advice)
    known = {name: shown(value, LONGEST_TEXT) for name, value in details.items()}
    size = shown(", ".join(sorted({f"{h}x{w}" for h, w in embedding.grids.values()})))
    lines = [
        known.get("title", ""),
        " · ".join(f"{k} {known[k]}" for k in ("author", "license", "date") if known.get(k)),
        f"{embedding.frames} frames, {len(embedding.layers)} layers of {embedding.backbone.describe()}, grids {size}",
        f"learned from: {known['prompt']}" if known.get("prompt") else "",
        " · ".join(f"{name.replace('_', ' ')} {known[name]}" for name in SHOWN if name in known),
        applied(embedding),
        known.get("description", ""),
    ]
    return "\n".join(line for line in lines if line)


def applied(embedding: MotionEmbedding) -> str:
    """How Apply Motion Embedding will use it."""
    try:
        patch = usual_patch(embedding)
    except MotionError as error:
        return str(error)
    return (
        f"applied with strength qk {patch.strength_qk:g} · strength v {patch.strength_v:g} · debias {patch.debias} · "
        f"from {patch.start:g} to {patch.end:g}"
    )


def _shown(node: type[io.ComfyNode], embedding: MotionEmbedding, text: str) -> dict:
    """What the node displays: text, and the preview that the file carries."""
    shown = say(node, text)
    found = PREVIEW.fullmatch(embedding.origin.thumbnail or "")
    if found:
        with suppress(ValueError):  # the picture of a file from anywhere; the motion is good without it
            picture = base64.b64decode(found["data"], validate=True)
            name = f"motion_embedding_{hashlib.sha256(picture).hexdigest()[:16]}.{found['kind']}"
            temporary_path(name).write_bytes(picture)
            shown |= {"images": [{"filename": name, "subfolder": "", "type": "temp"}], "animated": (False,)}
    return shown
