"""Pretraining rows beside the rollouts: PPO-ptx (Ouyang et al. 2022, arXiv 2203.02155), for any online algorithm."""

from __future__ import annotations

from hone.algorithms.nll import NLL
from hone.core.errors import HoneError
from hone.core.seeding import permutation_index
from hone.data.rows import encode_rows, pad_rows
from hone.models.chat import Renderer
from hone.models.policy import Policy
from hone.training.fit import digest_of, records_of
from hone.training.recipe import PtxConfig
from hone.training.update import Beside


class PtxStream:
    """The rows of a corpus in keyed order; its cursor is the number of the optimiser step, so resuming needs nothing.

    Args:
        config: what to read, and its weight.
        policy: whose tokens the rows are.
        seed: root of the order, and of a generated corpus.

    Attributes:
        digest: of the text.

    Raises:
        HoneError: the corpus cannot be read, or has no row that fits.
    """

    def __init__(self, config: PtxConfig, policy: Policy, seed: int) -> None:
        self.config, self.policy, self.seed = config, policy, seed
        records = records_of(config, seed, where="ptx")
        self.digest = digest_of(records)
        length = min(config.max_length, policy.max_length)
        self.rows = encode_rows(Renderer(policy.tokenizer), records, length, train_prompt=config.train_on == "all")
        if not self.rows:
            raise HoneError(
                "no row of the pretraining corpus fits",
                where="ptx.max_length",
                got=f"{len(records)} records, all longer than {length} tokens",
            )

    def at(self, update: int) -> Beside:
        """What goes beside the ``update``-th optimiser step of the run, counted from 0."""
        first = update * self.config.rows
        order = [permutation_index(self.seed, first + i, len(self.rows), "ptx") for i in range(self.config.rows)]
        batch = pad_rows([self.rows[i] for i in order], self.policy.pad_id).to(self.policy.device)
        return Beside("ptx", NLL(), batch, self.config.weight)
