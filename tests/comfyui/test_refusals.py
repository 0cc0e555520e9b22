"""What a running ComfyUI says to values that do not suit, before and while a workflow runs."""

from __future__ import annotations

import json

import pytest

from .graphs import workflow
from .host import Rejected


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"MotionInversionTrain": {"preset": "dance"}}, "dance"),
        ({"MotionInversionTrain": {"steps": -1}}, "steps"),
        ({"MotionInversionMixNoise": {"weight": 1.5}}, "weight"),
        ({"MotionInversionPrepareClip": {"fit": "squeeze"}}, "squeeze"),
    ],
)
def test_values_out_of_range_are_refused_before_anything_runs(server, changes, words):
    with pytest.raises(Rejected) as refusal:
        server.run(workflow("1_quickstart", **changes))
    assert words in json.dumps(refusal.value.args[0]["node_errors"])


@pytest.mark.parametrize(
    ("name", "kind"), [("4_compare_strengths", "ApplyAdvanced"), ("3_camera_motion", "ApplyCameraMotion")]
)
def test_start_after_end_is_refused_in_the_nodes_words(server, name, kind):
    changes = {f"MotionInversion{kind}": {"start_percent": 0.9, "end_percent": 0.2}}
    with pytest.raises(Rejected) as refusal:
        server.run(workflow(name, **changes))
    assert "start_percent is 0.9, but it must not be above end_percent" in json.dumps(refusal.value.args[0])


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        (
            "1_quickstart",
            {"MotionInversionTrain": {"sites": "nowhere.*"}},
            "sites is 'nowhere.*', which matches no temporal layer",
        ),
        ("1_quickstart", {"MotionInversionPrepareClip": {"frames": 99}}, "use a longer clip, or lower frames"),
        (
            "6_noise_only",
            {"EmptyLatentImage": {"batch_size": 8}},
            "use as many frames and the same size as the reference clip",
        ),
    ],
)
def test_errors_while_running_are_one_sentence(server, name, changes, sentence):
    few = {kind: {"steps": 2} for kind in ("BasicScheduler", "MotionInversionInvert")}
    run = server.run(workflow(name, **{**few, **changes}))
    assert run.outcome == "execution_error"
    assert run.error["exception_type"].endswith("MotionError")
    assert sentence in run.error["exception_message"]
