"""Motions read in one pass, and found among files."""

from __future__ import annotations

from comfy_api.latest import io

from ..motion_lib.codes.from_clip import PRESETS, embedding_of, reader_of
from ..motion_lib.codes.likeness import OF_GROUPS, Found, by_motion, by_words, spoken
from ..motion_lib.codes.reader import Reading
from ..motion_lib.errors import MotionError, shown
from ..motion_lib.files.embedding_file import FORMAT, described, header_in, load_embedding
from ..motion_lib.method.embedding import MotionEmbedding
from ..motion_lib.method.records import Origin
from .camera import CameraMotionType
from .checks import checked
from .host.folders import EMBEDDINGS, embedding_names, embedding_path
from .host.images import frames_of
from .host.kinds import kind_of
from .host.shown import NODE_ID, say
from .schema import MotionEmbeddingType, schema

IN_OTHER_LOOKS = {
    "neutral_background": "with the background in plain grey",
    "flat_object": "with the background in plain grey and what moves in red",
    "redrawn": "as sprite_t2v draws it again",
}
SHOWN = 10  # files that are listed


class ReadMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "ReadMotion",
            display_name="Read Motion (one pass)",
            description="Reads the motion of a clip in one pass, without training, as an embedding for sprite_t2v, and "
            "says in words what moves. It has learned on clips like sprite_t2v's own, and says so where a clip is "
            "unlike those.",
            search_aliases=["motion codes", "motion encoder", "fast motion", "motion transfer"],
            hidden=[NODE_ID],
            inputs=[
                io.Image.Input(
                    "images", tooltip="Frames of the reference clip, best 16 of them, from Prepare Reference Clip."
                ),
                io.Combo.Input(
                    "preset",
                    options=list(PRESETS),
                    default=PRESETS[0],
                    tooltip="What the embedding is applied as: an object's motion, the camera's, or both (hybrid); "
                    "auto goes by what moves in the clip.",
                ),
                io.Image.Input(
                    "camera_images",
                    optional=True,
                    tooltip="Frames of another clip: how the camera moves is then read of that one, and how the object "
                    "moves of the first.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="Connect the MODEL to be told at once if the embedding does not fit.",
                ),
            ],
            outputs=[
                MotionEmbeddingType.Output(
                    display_name="motion_embedding", tooltip="The motion, for Apply Motion Embedding."
                ),
                CameraMotionType.Output(
                    display_name="camera_motion", tooltip="The camera's path, for Apply Camera Motion and Camera Noise."
                ),
                io.String.Output(display_name="report", tooltip="What was read, in words."),
            ],
        )

    @classmethod
    @checked
    def execute(cls, images, preset: str, camera_images=None, model=None) -> io.NodeOutput:
        reader = reader_of(None)
        if model is not None:
            reader.codes.decoder.empty.check_fits(kind_of(model).backbone, "What is read of a clip")
        camera = None if camera_images is None else reader.read(frames_of(camera_images))
        embedding, reading = embedding_of(
            reader, frames_of(images), "images", preset=preset, camera=camera, cameras_source="camera_images"
        )
        lines = [
            f"Read: {spoken(reader.words(reading))}; preset {embedding.origin.preset}.",
            *_look_of(reading),
            reading.camera.describe() if reading.camera_moves else "The camera stands still.",
            *(["The camera was measured by points that were followed."] if reading.camera_measured else []),
            f"Distance from what the encoder has seen: {reading.distance:.2f} of at most {reading.most:.2f}.",
        ]
        lines += [f"{what.warning}" for what in (reading, camera) if what is not None and what.warning]
        text = "\n".join(lines)
        return io.NodeOutput(embedding, reading.camera, text, ui=say(cls, text))


def _look_of(reading: Reading) -> list[str]:
    if reading.look not in IN_OTHER_LOOKS:
        return []
    how = IN_OTHER_LOOKS[reading.look]
    return [f"Read {how}, because the encoder does not know clips that look like this one."]


class FindMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "FindMotion",
            display_name="Find Motion",
            description=f"Looks through models/{EMBEDDINGS} for the motion that is most like another, or that a "
            "sentence says, and loads it. Files are compared by what was read of their clips.",
            search_aliases=["search motion", "similar motion", "motion library", "retrieve motion"],
            hidden=[NODE_ID],
            inputs=[
                io.String.Input(
                    "text",
                    default="",
                    tooltip='Words that say the motion, such as "circles clockwise, camera pans left". Leave it empty '
                    "to find the like of a motion.",
                ),
                io.Combo.Input(
                    "group",
                    options=list(OF_GROUPS),
                    default=OF_GROUPS[0],
                    tooltip="Whose motion counts when motions are compared: the object's, the camera's, or both.",
                ),
                io.Int.Input(
                    "rank", default=1, min=1, max=1000, tooltip="Which of the files found to load: 1 is the best."
                ),
                MotionEmbeddingType.Input(
                    "motion_embedding",
                    optional=True,
                    tooltip="The motion to find the like of, from Read Motion (one pass), or from a file that was.",
                ),
            ],
            outputs=[
                MotionEmbeddingType.Output(
                    display_name="motion_embedding", tooltip="The motion that was found, for Apply Motion Embedding."
                ),
                io.String.Output(display_name="report", tooltip="The files found, the best first."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, **others) -> str:
        return " ".join(f"{name} {embedding_path(name).stat().st_mtime_ns}" for name in embedding_names())

    @classmethod
    @checked
    def execute(
        cls, text: str, group: str, rank: int, motion_embedding: MotionEmbedding | None = None
    ) -> io.NodeOutput:
        if bool(text.strip()) == (motion_embedding is not None):
            raise MotionError("Say what to find: either words in text, or a motion_embedding; not both.")
        reader, files = reader_of(None), list(_files())
        if motion_embedding is None:
            found = by_words(reader, text, files)
        else:
            found = by_motion(reader, motion_embedding.origin.reading, files, group)
        comparable = [each for each in found if each.likeness is not None]
        if rank > len(comparable):
            raise MotionError(
                f"rank is {rank}, but {len(comparable)} of {len(found)} files in models/{EMBEDDINGS} say how their "
                f"clips move: save embeddings of Read Motion (one pass) there, or choose a lower rank."
            )
        chosen = comparable[rank - 1]
        report = "\n".join(_line(each, each is chosen) for each in comparable[: max(SHOWN, rank)])
        return io.NodeOutput(load_embedding(embedding_path(chosen.name)), report, ui=say(cls, report))


def _files() -> list[tuple[str, Origin]]:
    """Names and origins of all sound embedding files."""
    files = []
    for name in embedding_names():
        path = embedding_path(name)
        try:
            files.append((name, described(path.name, header_in(path), FORMAT).origin))
        except MotionError:
            continue
    return files


def _line(each: Found, chosen: bool) -> str:
    return f"{'→ ' if chosen else ''}{each.likeness:.3f} {shown(each.name, 80)}: {each.words}"
