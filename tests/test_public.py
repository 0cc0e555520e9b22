"""The public surface: complete, documented, and free until it is used."""

from __future__ import annotations

import subprocess
import sys

import motion_lib


def test_every_public_name_resolves_and_is_documented() -> None:
    for name in motion_lib.__all__:
        assert getattr(motion_lib, name).__doc__, name
    assert set(motion_lib.__all__) <= set(dir(motion_lib))


def test_importing_the_library_imports_nothing_heavy() -> None:
    code = "import sys, motion_lib; print([m for m in ('torch', 'diffusers', 'av', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_samples_show_what_their_captions_say_and_move_as_rendered() -> None:
    from motion_lib.bundled.samples import SAMPLES
    from motion_lib.metrics.captions import caption_accuracy, object_path
    from motion_lib.metrics.paths import path_correlation
    from motion_lib.sprites.motions import reference
    from motion_lib.sprites.vocabulary import parse_caption
    from motion_lib.video import read_clip

    for name, sample in SAMPLES.items():
        frames = read_clip(sample.path).frames
        assert frames.shape == (33 if name.endswith("_33") else 16, 128, 128, 3)
        assert caption_accuracy(frames, sample.prompt).score == 1
        scene = reference(sample.motion, parse_caption(sample.prompt), len(frames))
        if sample.motion == "figure_eight":
            assert path_correlation(object_path(frames).points, scene.position[0]) > 0.999


def test_the_command_line_is_ready_before_heavy_libraries_are() -> None:
    heavy = "print([m for m in ('diffusers', 'transformers', 'cv2') if m in sys.modules])"
    code = (
        f"import sys\nfrom motion_lib.cli import main\ntry:\n    main(['--version'])\nexcept SystemExit:\n    {heavy}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
