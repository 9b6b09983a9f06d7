"""What Open Bandit Pipeline 0.4.1 says of rounds, for tests/off_policy/main.rs to be held against.

    reference.py synthetic FOLDER       draws a few hundred rounds, and writes them with obp's estimates: what is committed here
    reference.py logs FOLDER            the same of every log inside obp's own package (Open Bandit Data, CC BY 4.0, of ZOZO, Inc.),
                                        of which nothing is committed

Each file FOLDER/NAME.csv has rounds (reward, propensity, chance, shown, expected); FOLDER/expected.json has the estimates of each.
"""

import json
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pandas as pd

# obp imports PyTorch for its learners, which are not used here: 2 GB for the name of a type.
sys.modules["torch"] = MagicMock(Tensor=type("Tensor", (), {}))
sys.modules["obp.policy.offline"] = MagicMock()

import obp  # noqa: E402
from obp.ope import (  # noqa: E402
    DirectMethod,
    DoublyRobust,
    InverseProbabilityWeighting,
    SelfNormalizedInverseProbabilityWeighting,
)
from obp.policy import BernoulliTS, Random  # noqa: E402
from obp.version import __version__  # noqa: E402

SEED = 12345
# obp 0.4.1 cuts no weights: it is given propensities by which weights are at most so large.
MAX_WEIGHTS = (None, 10.0, 1.5)


def modelled(reward, action, position, actions, places):
    """A model of rewards: the mean of each action at each place, drawn toward the mean of all."""
    expected = np.zeros((actions, places))
    for place in range(places):
        for one in range(actions):
            of_it = reward[(action == one) & (position == place)]
            expected[one, place] = (of_it.sum() + 20 * reward.mean()) / (len(of_it) + 20)
    return np.tile(expected, (len(reward), 1, 1))


def judged(reward, action, position, pscore, action_dist, expected):
    """The estimates of obp, for each maximum weight."""
    rows = np.arange(len(reward))
    chance = action_dist[rows, action, position]
    said = []
    for most in MAX_WEIGHTS:
        cut = pscore if most is None else np.maximum(pscore, chance / most)
        logged = {
            "reward": reward,
            "action": action,
            "position": position,
            "pscore": cut,
            "action_dist": action_dist,
        }
        model = {"estimated_rewards_by_reg_model": expected}
        weight = chance / cut
        ips, dm, dr = InverseProbabilityWeighting(), DirectMethod(), DoublyRobust()
        bootstrap = {"n_bootstrap_samples": 2000, "random_state": SEED}

        def interval(found):
            low, high = (found[key] for key in found if "CI" in key)
            return [float(low), float(high)]

        def error(of_rounds):
            return float(np.std(of_rounds, ddof=1) / np.sqrt(len(of_rounds)))

        said.append(
            {
                "max_weight": most,
                "ips": float(ips.estimate_policy_value(**logged)),
                "ips_error": error(ips._estimate_round_rewards(**logged)),
                "ips_interval": interval(ips.estimate_interval(**logged, **bootstrap)),
                "snips": float(SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(**logged)),
                "direct": float(
                    dm.estimate_policy_value(action_dist=action_dist, position=position, **model)
                ),
                "doubly_robust": float(dr.estimate_policy_value(**logged, **model)),
                "doubly_robust_error": error(dr._estimate_round_rewards(**logged, **model)),
                "doubly_robust_interval": interval(dr.estimate_interval(**logged, **model, **bootstrap)),
                # Not obp's: it has no effective sample size.
                "effective_rounds": float(weight.sum() ** 2 / (weight**2).sum()),
                "mean_weight": float(weight.mean()),
            }
        )
    table = pd.DataFrame(
        {
            "reward": reward,
            "propensity": pscore,
            "chance": chance,
            "shown": expected[rows, action, position],
            "expected": np.average(
                expected[rows, :, position], weights=action_dist[rows, :, position], axis=1
            ),
        }
    )
    return table, said


def synthetic():
    """Rounds of five actions at three places; each action is of another worth, and the new policy likes others."""
    random = np.random.default_rng(SEED)
    rounds, actions, places = 400, 5, 3
    logging = random.dirichlet(np.full(actions, 2.0), size=places)
    new = random.dirichlet(np.full(actions, 2.0), size=places)
    position = random.integers(places, size=rounds)
    action = np.array([random.choice(actions, p=logging[place]) for place in position])
    reward = (random.random(rounds) < 0.1 + 0.1 * action).astype(float) * random.choice(
        [1.0, 2.5], size=rounds
    )
    action_dist = np.tile(new.T, (rounds, 1, 1))
    expected = modelled(reward, action, position, actions, places)
    yield "synthetic", (reward, action, position, logging[position, action], action_dist, expected)


def logs():
    """Each log, and the policy of the other: obp's own replay of what ZOZOTOWN's Bernoulli Thompson sampling was."""
    data = Path(obp.__file__).parent / "dataset" / "obd"
    for behavior, campaign in ((b, c) for b in ("random", "bts") for c in ("all", "men", "women")):
        log = pd.read_csv(data / behavior / campaign / f"{campaign}.csv", index_col=0).sort_values(
            "timestamp", kind="stable"
        )
        action, reward = log["item_id"].to_numpy(), log["click"].to_numpy().astype(float)
        position = log["position"].rank(method="dense").to_numpy().astype(int) - 1
        actions, places = int(action.max()) + 1, int(position.max()) + 1
        settings = {"n_actions": actions, "len_list": places, "random_state": SEED, "campaign": campaign}
        if behavior == "random":
            policy = BernoulliTS(**settings, is_zozotown_prior=True)
        else:
            policy = Random(n_actions=actions, len_list=places, random_state=SEED)
        action_dist = policy.compute_batch_action_dist(n_rounds=len(log))
        expected = modelled(reward, action, position, actions, places)
        pscore = log["propensity_score"].to_numpy()
        yield f"{behavior}-{campaign}", (reward, action, position, pscore, action_dist, expected)


def main():
    folder = Path(sys.argv[-1])
    folder.mkdir(parents=True, exist_ok=True)
    told = {}
    for name, rounds in synthetic() if sys.argv[1] == "synthetic" else logs():
        table, told[name] = judged(*rounds)
        table.to_csv(folder / f"{name}.csv", index=False)
        print(f"{name}: {len(table)} rounds", file=sys.stderr)
    text = json.dumps({"obp": __version__, "logs": told}, indent=1)
    (folder / "expected.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
