"""SANSA: EASE^R with a sparse approximate inverse, for catalogues too large for a dense one. https://github.com/glami/sansa.

Its own `recommend` fails where one user has fewer than k items with a score, so its scores are ranked here.
"""

import gc
import logging

import sansa

from peers.model import Model, Question, Settings
from peers.ranking import Ranking, best
from peers.space import LogBetween, OneOf
from peers.task import Interactions

# It logs everything, its advice as warnings, from the moment it is imported.
logging.getLogger("sansa").setLevel(logging.ERROR)
# It collects garbage two dozen times a fit, which takes longer the more is loaded. What is loaded by now is not garbage.
gc.freeze()

Fitted = tuple[sansa.SANSA, str]


def fit(interactions: Interactions, settings: Settings, _seed: int) -> Fitted:
    """An approximate Cholesky factor, exact and then thinned out or incomplete from the start, and its approximate inverse."""
    factorizer = {
        "CHOLMOD": sansa.CHOLMODGramianFactorizerConfig,
        "ICF": sansa.ICFGramianFactorizerConfig,
    }[settings["factorizer"]]
    config = sansa.SANSAConfig(
        l2=settings["l2"],
        weight_matrix_density=settings["density"],
        gramian_factorizer_config=factorizer(),
        lower_triangle_inverter_config=sansa.UMRUnitLowerTriangleInverterConfig(),
    )
    return sansa.SANSA(config).fit(interactions.weighted(settings["weight"])), settings["weight"]


def recommend(fitted: Fitted, question: Question) -> Ranking:
    """Scores of what a user had bought, ranked."""
    model, weight = fitted
    history = question.interactions.weighted(weight)[question.rows]
    return best(model.forward(history), history if question.remove_seen else None, question.k)


MODELS = [
    Model(
        name="sansa",
        title="SANSA",
        space={
            "l2": LogBetween(1, 2000),
            "density": LogBetween(0.001, 0.2),
            "factorizer": OneOf(["CHOLMOD", "ICF"]),
            "weight": OneOf(["one", "log", "count"]),
        },
        fit=fit,
        recommend=recommend,
        deterministic=True,
    )
]
