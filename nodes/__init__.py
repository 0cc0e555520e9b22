"""The nodes, in the order of a user's graph. A node contains no mathematics: that is `motion_lib`'s."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .apply import ApplyMotionEmbedding, ApplyMotionEmbeddingAdvanced
from .camera import ApplyCameraMotion, CameraMotion, CameraNoise
from .clip import PrepareReferenceClip, SampleClip
from .codes import FindMotion, ReadMotion
from .edit import CombineMotionEmbeddings, EditMotionEmbedding
from .embedding import LoadMotionEmbedding, SaveMotionEmbedding
from .frames import FrameNoise, TemporalMomentumAttention
from .host.folders import register_folders
from .load import LoadMotionTextEncoder, LoadMotionVideoModel
from .noise import InvertVideoToNoise, MixInversionNoise
from .options import TrainingOptions
from .report import MotionReport
from .stand_ins import DrawStandIns
from .train import TrainMotionEmbedding

NODES: list[type[io.ComfyNode]] = [
    LoadMotionVideoModel,
    LoadMotionTextEncoder,
    SampleClip,
    PrepareReferenceClip,
    DrawStandIns,
    TrainMotionEmbedding,
    TrainingOptions,
    ApplyMotionEmbedding,
    ApplyMotionEmbeddingAdvanced,
    InvertVideoToNoise,
    MixInversionNoise,
    CameraMotion,
    ApplyCameraMotion,
    CameraNoise,
    FrameNoise,
    TemporalMomentumAttention,
    SaveMotionEmbedding,
    LoadMotionEmbedding,
    ReadMotion,
    FindMotion,
    EditMotionEmbedding,
    CombineMotionEmbeddings,
    MotionReport,
]


class MotionInversionExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        register_folders()  # here, because older versions of ComfyUI do not call on_load
        return NODES
