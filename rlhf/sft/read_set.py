"""Read a folder of instances before it is trained on: `python -m rlhf.sft.read_set RUNDIR [--attached]`.

    request.json    {"stage": "dataset", "dataset": path}; the format is in `rlhf.training.instances`
    metrics.jsonl   one line for every hundred files
    media.txt       sha256 of every file of the set, a line each
    result.json     {"content_hash", "num_instances", "facts"}, see `rlhf.training.set_facts.SetFacts`

Every line is checked, every file hashed, and every target decoded to count its frames.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from generator.files import file_sha256, replacing
from generator.media.formats import MediaFacts
from generator.rundir import RunDir, RunError, run_command
from rlhf.training.instances import TrainingInstance, measure_target, read_dataset
from rlhf.training.set_facts import ContentHash, SetFacts, in_order, rate_name, size_name

MEDIA_FILE = "media.txt"
#: Files between two lines of metrics.
EVERY = 100


def main(run: RunDir, attached: bool) -> None:
    """Read what the run folder names.

    Raises:
        RunError: the request names nothing.
        DatasetError: the first thing that is wrong with the set.
    """
    with run.open(attached=attached) as request:
        if run.is_done:
            return
        if "dataset" not in request:
            raise RunError(f"{run.path / 'request.json'} names no dataset; give its folder or its JSON lines")
        run.truncate_metrics(lambda line: False)
        instances = read_dataset(run.resolve(request["dataset"]))
        hashes: dict[Path, str] = {}
        files = list(dict.fromkeys(_files(instances)))
        targets = {one.target for one in instances}
        measured: dict[Path, MediaFacts] = {}
        for done, file in enumerate(files, start=1):
            hashes[file] = file_sha256(file)
            if file in targets:
                measured[file] = measure_target(file)
            if done % EVERY == 0 or done == len(files):
                run.append_metrics({"done": done, "total": len(files)})
        with replacing(run.path / MEDIA_FILE) as temporary:
            temporary.write_text(
                "".join(f"{one}\n" for one in sorted(set(hashes.values()))), encoding="ascii"
            )
        run.write_result(
            {
                "content_hash": content_hash(instances, hashes),
                "num_instances": len(instances),
                "facts": asdict(facts_of(instances, measured)),
            }
        )


def _files(instances: list[TrainingInstance]) -> Iterator[Path]:
    for instance in instances:
        yield from (path for path, _ in instance.references)
        yield instance.target


def content_hash(instances: list[TrainingInstance], hashes: dict[Path, str]) -> str:
    """Of the whole set, see `ContentHash`."""
    content = ContentHash()
    for one in instances:
        references = [(hashes[path], str(kind)) for path, kind in one.references]
        content.add(one.instance_id, one.id_group, one.prompt, references, hashes[one.target])
    return content.hex()


def facts_of(instances: list[TrainingInstance], measured: dict[Path, MediaFacts]) -> SetFacts:
    """Of a set whose targets were measured; nothing in it names a licence."""
    facts = [measured[one.target] for one in instances]
    return SetFacts(
        num_instances=len(instances),
        num_people=len({one.id_group for one in instances} - {""}),
        num_clips=len(measured),
        rates=in_order(Counter(rate_name(one.fps) for one in facts)),
        sizes=in_order(Counter(size_name(one.width, one.height, one.num_frames) for one in facts)),
        references=in_order(Counter(str(len(one.references)) for one in instances)),
    )


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
