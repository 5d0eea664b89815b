"""`python -m bench [NAME ...]`: run the benchmarks, all of them or those named."""

from __future__ import annotations

import importlib
import sys

#: In the order of the loop.
BENCHMARKS = (
    "curation",
    "curation_workers",
    "prompts",
    "portraits",
    "oracle",
    "placement",
    "sampler",
    "wan5b",
    "dpo_step",
    "dpo5b",
    "dpo_round",
    "web",
    "slow_clients",
    "next_pair",
    "encoding",
    "fleet",
    "table_sizes",
    "resident",
    "export",
    "scale",
    "votes",
    "stopping",
)


def main(names: list[str]) -> int:
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there are: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names or BENCHMARKS:
        importlib.import_module(f"bench.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
