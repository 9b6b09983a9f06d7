"""An experiment with a planted effect, on this machine: visitors of whom those in the arm "dlrm" buy more often.

    small_experiment.py STORE OUTPUT

OUTPUT/store gets the events, OUTPUT/work the sums and the decision, and OUTPUT/status.json what was told about it. It is decided
in about half a minute.
"""

from __future__ import annotations

import json
import random
import secrets
import sys
import time
from pathlib import Path

import httpx

import gondola

MANIFEST = Path(__file__).parents[2] / "examples/complete-journey/experiment-in-a-minute.yaml"
#: How many of the control's visitors buy, and how many of the other arm's.
BUYERS = {"forest": 0.2, "dlrm": 0.3}
CLICKERS = 0.5
SECONDS = 150


def main(store: Path, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    key = output / "unit-key"
    key.write_text(secrets.token_hex(32))
    options = ["--events-url", gondola.store_url(output / "store"), "--events-folder", str(output / "work")]
    options += ["--events-flush", "1s", "--unit-key", str(key), "--experiment-listen", "127.0.0.1:0"]
    with gondola.up(MANIFEST, store, options=options) as pipeline:
        visit_until_decided(pipeline, output)


def visit_until_decided(pipeline: gondola.LocalPipeline, output: Path) -> None:
    chance = random.Random(7)
    users = [str(household) for household in range(1, 400)]
    until = time.monotonic() + SECONDS
    visitor = 0
    while time.monotonic() < until:
        outcomes = []
        for _ in range(50):
            visitor += 1
            unit = f"visitor-{visitor}"
            answer = pipeline.client.recommend(chance.choice(users), k=3, headers={"x-visitor-id": unit})
            seen = {"unit": unit, "item": answer.ids[0], "request_id": answer.request_id}
            if chance.random() < CLICKERS:
                outcomes.append(gondola.Outcome(type="click", event_id=f"click-{visitor}", **seen))
            if chance.random() < BUYERS[answer.variant]:
                outcomes.append(gondola.Outcome(type="purchase", event_id=f"order-{visitor}", **seen))
        pipeline.client.record_outcomes(outcomes).raise_for_refused()
        status = httpx.get(f"{pipeline.experiment_url}status.json").json()
        if "decision" in status:
            (output / "status.json").write_text(json.dumps(status))
            return
        time.sleep(0.3)
    raise SystemExit(f"the experiment was not decided within {SECONDS} seconds:\n{pipeline.log[-3000:]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
