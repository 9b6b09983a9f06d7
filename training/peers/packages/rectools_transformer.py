"""SASRec of RecTools: a transformer over what a user bought, in order. It needs PyTorch.

How long it learns is not tuned: every fit stops when it no longer gets better, at the last epoch, or when its time is up.
"""

import logging
import warnings
from datetime import timedelta

import numpy as np
import pandas as pd
import pytorch_lightning as lightning
from pytorch_lightning.callbacks import EarlyStopping
from rectools import Columns
from rectools.models import SASRecModel
from rectools.models.nn.transformers.utils import leave_one_out_mask

from peers.model import Model, Settings
from peers.packages.rectools import Fitted, dataset, recommend
from peers.space import Between, LogBetween, OneOf
from peers.task import Interactions

MAX_EPOCHS = 40
# Its clock is looked at between batches. With 20 trials and 5 final models: three quarters of an hour at most.
MAX_FIT = timedelta(seconds=100)
# Epochs without a lower loss on what is held out, after which a fit stops.
PATIENCE = 3
# Of one in ten users, but of no more than these, the last purchase is held out to know when to stop.
MAX_HELD_OUT_USERS = 500

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="pytorch_lightning")
# What RecTools' parts say about each other at every fit.
warnings.filterwarnings("ignore", module="rectools|pydantic")


def fit(interactions: Interactions, settings: Settings, seed: int) -> Fitted:
    """A transformer. Dropout, order of batches, first weights and who is held out come from the seed."""
    lightning.seed_everything(seed, verbose=False)
    data = dataset(interactions, "one")
    model = SASRecModel(
        **settings,
        get_val_mask_func=_held_out,
        get_trainer_func=_trainer,
        recommend_torch_device="cpu",
    )
    return model.fit(data), data


def _held_out(interactions: pd.DataFrame) -> np.ndarray:
    """Which rows are held out."""
    users = min(MAX_HELD_OUT_USERS, max(1, interactions[Columns.User].nunique() // 10))
    return np.asarray(leave_one_out_mask(interactions, val_users=users))


def _trainer() -> lightning.Trainer:
    return lightning.Trainer(
        max_epochs=MAX_EPOCHS,
        max_time=MAX_FIT,
        callbacks=[EarlyStopping("val_loss", patience=PATIENCE)],
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


MODELS = [
    Model(
        name="rectools-transformer-sasrec",
        title="SASRec",
        space={
            "n_factors": OneOf([32, 64, 128]),
            "n_blocks": OneOf([1, 2]),
            "n_heads": OneOf([1, 2, 4]),
            "session_max_len": OneOf([20, 50, 100]),
            "dropout_rate": Between(0.1, 0.5),
            "lr": LogBetween(0.0003, 0.01),
            "loss": OneOf(["softmax"]),
        },
        fit=fit,
        recommend=recommend,
        deterministic=False,
    )
]
