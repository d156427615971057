"""KL from a teacher's distribution to a student's, from the teacher's likeliest tokens.

Dimensions: K tokens, any leading shape.
"""

from __future__ import annotations

from torch import Tensor


def top_kl(teacher_K: Tensor, student_K: Tensor, *, whole: bool) -> Tensor:
    """``Σ_k p_k (log p_k − log q_k)``, and the rest of both distributions as one more token where K is not all of them.

    Lumping the rest together can only lose divergence (data processing inequality): a lower bound of the KL, and never
    negative.

    Args:
        teacher_K: [..., K] log p of the teacher's likeliest tokens.
        student_K: [..., K] log q of the same tokens; the gradient flows here.
        whole: the K tokens are the whole vocabulary.

    Returns:
        [...] in nats.
    """
    known = (teacher_K.exp() * (teacher_K - student_K)).sum(-1)
    if whole:
        return known
    rest_p, rest_q = _rest(teacher_K), _rest(student_K)
    return known + rest_p * (rest_p.log() - rest_q.log())


def _rest(logprob_K: Tensor) -> Tensor:
    """1 − Σ p, kept above rounding."""
    return (1 - logprob_K.exp().sum(-1)).clamp(min=1e-7)
