from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from annotate.core.errors import RoundError
from annotate.management.loop_command import LoopCommand
from annotate.models import Split
from annotate.people.prompt_reader_queries import part_by_prompt
from annotate.rounds import queries
from annotate.rounds.rounds import import_model, plan_pairs, set_priority, start_round
from generator.records import SamplerSettings
from rlhf.votes.stopping import Rule


class Command(LoopCommand):
    help = "Open a round: its policy, its sampler settings, and a pair of videos for each instance."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        defaults = SamplerSettings()
        parser.add_argument("name")
        parser.add_argument("--policy", help="name of the model version; the newest one by default")
        parser.add_argument("--split", default=Split.TRAIN, choices=Split.values)
        parser.add_argument("--source", help="only people of this source")
        parser.add_argument("--votes", type=int, default=3, help="wanted votes per track (default 3)")
        parser.add_argument(
            "--adaptive",
            nargs="?",
            const="{}",
            metavar="JSON",
            help="ask for votes one by one until a pair is settled; with other numbers than the defaults: "
            """'{"minimum": 2, "maximum": 5, "dominant_from": 0.8, "hopeless_below": 0.1}'""",
        )
        parser.add_argument(
            "--new-seeds",
            action="store_true",
            help="make new videos of the instances, from seeds that no round of the policy has used; "
            "without it, videos that another round has made with the same settings are used again",
        )
        parser.add_argument(
            "--priority", type=int, help="of its videos on the GPU workers: 0 (last) to 9, default 5"
        )
        parser.add_argument("--dpo", default="{}", metavar="JSON", help='such as {"beta": 500}')
        parser.add_argument("--height", type=int, default=defaults.height)
        parser.add_argument("--width", type=int, default=defaults.width)
        parser.add_argument("--frames", type=int, default=defaults.num_frames)
        parser.add_argument("--fps", type=int, default=defaults.fps)
        parser.add_argument("--steps", type=int, default=defaults.num_inference_steps)
        parser.add_argument("--guidance-scale", type=float, default=defaults.guidance_scale)

    def run(self, **options: Any) -> dict[str, Any]:
        policy = queries.find_model(options["policy"])
        if policy is None and options["policy"]:
            raise RoundError(f"no model version {options['policy']!r}; known: {queries.model_names()}")
        round = start_round(
            options["name"],
            policy or import_model(settings.MODEL_PATH),
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
        whole, unread = part_by_prompt([round.policy], drawn)
        new = plan_pairs(round, whole)
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
