"""What is in the frames: colours, orientation, transparency, size."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from motion_lib.video import ClipOptions, read_clip
from motion_lib.video.read import resized
from tests.video.clips import encode, numbered, numbers, quadrants, set_display_matrix


def close(frame: torch.Tensor, image: np.ndarray, tolerance: int = 8, border: int = 4) -> bool:
    """Equal within `tolerance`, leaving out `border` pixels around each of the four quadrants (chroma is half-size)."""
    apart = (frame.int() - torch.from_numpy(image.copy()).int()).abs().amax(-1)
    rows, columns = (torch.arange(side) for side in apart.shape)

    def inside(index: torch.Tensor, side: int) -> torch.Tensor:
        return ((index - side / 2).abs() > border) & (index >= border) & (index < side - border)

    return bool(apart[inside(rows, len(rows))][:, inside(columns, len(columns))].max() <= tolerance)


@pytest.mark.parametrize(("width", "height"), [(101, 67), (64, 48), (33, 17)])
def test_odd_sizes_and_colours(tmp_path: Path, width: int, height: int) -> None:
    image = quadrants(width, height)
    clip = read_clip(encode(tmp_path / "a.webm", image[None].repeat(3, 0), "libvpx-vp9", crf="10"))
    assert clip.frames.shape == (3, height, width, 3)
    assert all(close(frame, image, tolerance=12) for frame in clip.frames)


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [
        ((1, 0, 0, 1), lambda image: image),
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
        ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
        ((0, -1, 1, 0), lambda image: np.rot90(image, 1)),
        ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
        ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
    ],
)
def test_display_matrix(tmp_path: Path, matrix: tuple[int, int, int, int], turned) -> None:
    path = set_display_matrix(encode(tmp_path / "a.mp4", quadrants()[None].repeat(3, 0), crf="10"), *matrix)
    clip = read_clip(path)
    expected = turned(quadrants())
    assert clip.frames.shape[1:] == expected.shape
    assert close(clip.frames[-1], expected)
    assert clip.notes == (() if matrix == (1, 0, 0, 1) else ("turned upright as the file's display matrix says",))


@pytest.mark.parametrize("matrix", [1, 6])
def test_colour_matrix_of_the_file(tmp_path: Path, matrix: int) -> None:
    kr, kb = {1: (0.2126, 0.0722), 6: (0.299, 0.114)}[matrix]
    red, green, blue = 180 / 255, 60 / 255, 40 / 255
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = ((blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr))
    planes = [np.full((48, 64), round(16 + 219 * luma)), *(np.full((24, 32), round(128 + 224 * c)) for c in chroma)]
    tags = {"colorspace": matrix, "color_range": 1, "color_primaries": 1, "color_trc": 1}
    path = encode_planes(tmp_path / "a.mp4", planes, tags)
    assert np.abs(read_clip(path).frames[0].numpy().astype(int) - (180, 60, 40)).max() <= 4


def encode_planes(path: Path, planes: list[np.ndarray], tags: dict[str, int]) -> Path:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=24)
        stream.height, stream.width = planes[0].shape
        stream.pix_fmt = "yuv420p"
        for tag, value in tags.items():
            setattr(stream.codec_context, tag, value)
        flat = np.concatenate([plane.reshape(-1) for plane in planes]).astype(np.uint8)
        frame = av.VideoFrame.from_ndarray(flat.reshape(-1, planes[0].shape[1]), format="yuv420p")
        frame.colorspace, frame.color_range = tags["colorspace"], tags["color_range"]
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def half_transparent() -> np.ndarray:
    """uint8 `[1, h, w, 4]`: white, transparent on the right half."""
    image = np.full((1, 48, 64, 4), 255, np.uint8)
    image[:, :, 32:, 3] = 0
    return image


@pytest.mark.parametrize("name", ["a.mov", "a.webp", "a.gif", "folder"])
def test_transparency_becomes_black(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.mov":
        encode(path, half_transparent(), "png", "rgba")
    elif name == "folder":
        path.mkdir()
        Image.fromarray(half_transparent()[0]).save(path / "1.png")
    else:
        Image.fromarray(half_transparent()[0]).save(path, lossless=True)
    clip = read_clip(path)
    assert clip.frames[0, :, :32].min() == 255 and clip.frames[0, :, 32:].max() == 0
    assert "transparency flattened on black" in clip.notes


def test_grey_palette_and_16_bit_images(tmp_path: Path) -> None:
    grey = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1))
    Image.fromarray(grey).save(tmp_path / "1.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "2.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "3.png")
    frames = read_clip(tmp_path).frames
    assert all(np.array_equal(frame[..., channel], grey) for frame in frames.numpy() for channel in range(3))


def test_grey_video(tmp_path: Path) -> None:
    clip = read_clip(encode(tmp_path / "a.mkv", numbered(4), "ffv1", "gray"))
    assert numbers(clip.frames) == [0, 1, 2, 3]


# Size


def test_crop_covers_and_cuts_the_middle() -> None:
    image = np.zeros((40, 120, 3), np.uint8)
    image[:, :40], image[:, 40:80], image[:, 80:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    out = np.asarray(resized(Image.fromarray(image), (20, 20), "crop"))
    assert out.shape == (20, 20, 3) and np.abs(out[:, 3:-3].astype(int) - (0, 255, 0)).max() <= 2


def test_fit_adds_black_bars() -> None:
    out = np.asarray(resized(Image.new("RGB", (120, 40), "white"), (60, 60), "fit"))
    assert (out[:20] == 0).all() and (out[20:40] == 255).all() and (out[40:] == 0).all()


def test_stretch_keeps_the_edges() -> None:
    out = np.asarray(resized(Image.fromarray(quadrants(64, 48)), (32, 96), "stretch"))
    assert out.shape == (96, 32, 3) and np.array_equal(out[4, 4], (200, 30, 30)) and (out[-4, -4] == 220).all()


@pytest.mark.parametrize("fit", ["crop", "fit", "stretch"])
def test_shrinking_does_not_alias(fit) -> None:
    stripes = np.zeros((96, 96, 3), np.uint8)
    stripes[:, ::2] = 255
    out = np.asarray(resized(Image.fromarray(stripes), (24, 24), fit)).astype(int)
    assert np.abs(out[:, 3:-3] - 127.5).max() <= 2  # mean grey, where nearest or bilinear sampling give stripes


def test_constant_stays_constant() -> None:
    for size in ((7, 5), (50, 90), (200, 31)):
        out = np.asarray(resized(Image.new("RGB", (101, 67), (10, 120, 250)), size, "crop"))
        assert (out == (10, 120, 250)).all()


def test_clip_is_resized(tmp_path: Path) -> None:
    video = encode(tmp_path / "a.mp4", numbered(24))
    assert read_clip(video, ClipOptions(width=32)).frames.shape == (24, 24, 32, 3)
    clip = read_clip(video, ClipOptions(width=40, height=40, fit="crop"))
    assert clip.frames.shape == (24, 40, 40, 3) and numbers(clip.frames) == list(range(24))
