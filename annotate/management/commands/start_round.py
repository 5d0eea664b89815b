from __future__ import annotations

import json
from typing import Any

from annotate.database.batches import BATCH
from annotate.management.loop_command import SOURCE, LoopCommand, argument, chosen_model, first_model, switch
from annotate.models import Split
from annotate.rounds import queries
from annotate.rounds.rounds import plan_pairs, set_priority, start_round
from generator.records import SamplerSettings
from rlhf.votes.stopping import Rule

DEFAULTS = SamplerSettings()


class Command(LoopCommand):
    help = "Open a round: its policy, its sampler settings, and a pair of videos for each instance."
    arguments = (
        argument("name"),
        argument("--policy", help="name of the model version; the newest one by default"),
        argument("--split", default=Split.TRAIN, choices=Split.values),
        SOURCE,
        argument("--votes", type=int, default=3, help="wanted votes per track (default 3)"),
        argument(
            "--adaptive",
            nargs="?",
            const="{}",
            metavar="JSON",
            help="ask for votes one by one until a pair is settled; with other numbers than the defaults: "
            """'{"minimum": 2, "maximum": 5, "dominant_from": 0.8, "hopeless_below": 0.1}'""",
        ),
        switch(
            "--new-seeds",
            "make new videos of the instances, from seeds that no round of the policy has used; "
            "without it, videos that another round has made with the same settings are used again",
        ),
        argument("--priority", type=int, help="of its videos on the GPU workers: 0 (last) to 9, default 5"),
        argument("--dpo", default="{}", metavar="JSON", help='such as {"beta": 500}'),
        argument("--height", type=int, default=DEFAULTS.height),
        argument("--width", type=int, default=DEFAULTS.width),
        argument("--frames", type=int, default=DEFAULTS.num_frames),
        argument("--fps", type=int, default=DEFAULTS.fps),
        argument("--steps", type=int, default=DEFAULTS.num_inference_steps),
        argument("--guidance-scale", type=float, default=DEFAULTS.guidance_scale),
    )

    def run(self, **options: Any) -> dict[str, Any]:
        round = start_round(
            options["name"],
            chosen_model(options["policy"]) or queries.find_model(None) or first_model(quiet=options["json"]),
            votes_wanted=options["votes"],
            stopping=_rule(options["adaptive"]),
            dpo=json.loads(options["dpo"]),
            new_seeds=options["new_seeds"],
            sampler=SamplerSettings(
                height=options["height"],
                width=options["width"],
                num_frames=options["frames"],
                fps=options["fps"],
                num_inference_steps=options["steps"],
                guidance_scale=options["guidance_scale"],
            ),
        )
        if options["priority"] is not None:
            set_priority(round, options["priority"])
        drawn = queries.instances_of_split(options["split"], options["source"])
        unread: list[str] = []
        new = plan_pairs(round, drawn.iterator(chunk_size=BATCH), left_out=unread)
        return {
            "round": round.name,
            "policy": round.policy.name,
            "new_pairs": new,
            "pairs": round.pairs.count(),
            "left_out": unread,
        }


def _rule(text: str | None) -> Rule | None:
    """What `--adaptive` asks for.

    Raises:
        ValueError: it is no JSON object of a rule.
    """
    if text is None:
        return None
    try:
        return Rule(**json.loads(text))
    except TypeError as error:
        raise ValueError(f"--adaptive {text!r} is no rule: {error}") from None
