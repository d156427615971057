"""The noisy reader of reviews, by a short name."""

from hone.envs.review_judge import NoisyJudge as NoisyJudge
