"""An evaluation without a network: models that paint one brightness, and an oracle that reads it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np

from generator.media.encoder import write_clip
from generator.portraits.oracle import Reading
from generator.portraits.world import ELEMENT_STATES, IDENTITY_SIZE
from rlhf.evaluate import main

STATES = {element: states[0] for element, states in ELEMENT_STATES.items()}
SETTINGS = {
    "height": 32,
    "width": 32,
    "num_frames": 5,
    "fps": 8,
    "num_inference_steps": 1,
    "guidance_scale": 1.0,
}


class PlantedOracle:
    """A clip's brightness is who it shows, and how surely it shows what is expected."""

    trust = {"clean": {"identity_top1_of_50": 1.0}}

    def read(self, frames):
        brightness = float(frames.mean()) / 255
        elements = {e: dict.fromkeys(states, brightness) for e, states in ELEMENT_STATES.items()}
        return Reading(np.full(IDENTITY_SIZE, brightness), elements)


class Painter:
    """Stands for a model: paints clips of one brightness, told apart by instance only."""

    def __init__(self, brightness):
        self.brightness = brightness

    def prompt_reader(self):
        """It reads every prompt to its end."""
        return SimpleNamespace(read=lambda prompt: SimpleNamespace(problem=""))


def clip(path, brightness, frames=5):
    path.parent.mkdir(exist_ok=True)
    write_clip(path, np.full((frames, 32, 32, 3), brightness, np.uint8), 8)


def evaluated(run):
    main(run, False)
    return run.read_result()


def edited(run, **fields):
    request = run.read_request() | fields
    (run.path / "request.json").write_text(json.dumps(request))
    return run
