"""The engine against transformers: the same tokens, the same log-probabilities, whatever shares the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from engine_models import CACHED, END, full_logprobs, prompts, tiny
from transformers import Qwen3Config, Qwen3ForCausalLM

from hone.core.errors import HoneError
from hone.core.types import Completion
from hone.engines.base import Request, Sampling
from hone.engines.bodies import CopiedBody
from hone.engines.embedded import EmbeddedEngine
from hone.engines.forward import CachedForward, ReferenceForward
from hone.engines.fused import FusedBody
from hone.training.optimiser import make_optimiser
from hone.training.recipe import OptimiserConfig

GREEDY = Sampling(temperature=0, max_tokens=24)


def engine_for(model: Any, slots: int | None = 4, **options: Any) -> EmbeddedEngine:
    return EmbeddedEngine(model, None, pad_id=0, end_ids=frozenset({END}), slots=slots, **options)


def requests_for(
    found: Sequence[tuple[int, ...]], sampling: Sampling, samples: int = 1, seed: int = 0
) -> list[Request]:
    return [
        Request((i, j), prompt, sampling, seed + 1000 * i + j) for i, prompt in enumerate(found) for j in range(samples)
    ]


@pytest.mark.parametrize("name", CACHED)
def test_greedy_equals_transformers_generate(name: str) -> None:
    model = tiny(name)
    engine = engine_for(model)
    assert engine.mode == "cached"
    found = [*prompts(9), prompts(9)[2], prompts(9)[2]]
    completions = engine.generate(requests_for(found, GREEDY))
    for prompt, completion in zip(found, completions, strict=True):
        with torch.no_grad():
            row = model.generate(
                torch.tensor([prompt]),
                attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                do_sample=False,
                max_new_tokens=24,
            )
        assert completion.tokens == tuple(row[0, len(prompt) :].tolist())
        assert completion.stop == ("end" if completion.tokens[-1] == END else "length")


@pytest.mark.parametrize("name", [*CACHED, "bloom"])
def test_logprobs_equal_the_full_forward(name: str) -> None:
    model = tiny(name)
    engine = engine_for(model)
    requests = requests_for(prompts(6), Sampling(max_tokens=30), samples=3)
    for request, completion in zip(requests, engine.generate(requests), strict=True):
        assert len(completion.logprobs) == len(completion.tokens) <= 30
        expected = full_logprobs(model, request.prompt, completion.tokens)
        assert completion.logprobs == pytest.approx(expected, abs=1e-4)


def test_half_precision_weights_are_used_as_they_are() -> None:
    model = tiny("llama").bfloat16()
    engine = engine_for(model)
    assert engine.mode == "cached"
    requests = requests_for(prompts(4), Sampling(max_tokens=12), samples=2)
    for request, completion in zip(requests, engine.generate(requests), strict=True):
        expected = full_logprobs(model, request.prompt, completion.tokens)
        assert completion.logprobs == pytest.approx(expected, abs=0.5)


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_a_half_precision_copy_follows_the_weights_and_leaves_them_alone(name: str) -> None:
    model = tiny(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    engine = engine_for(model, dtype=torch.bfloat16)
    assert engine.mode == "cached"
    requests = requests_for(prompts(6), Sampling(max_tokens=12), samples=3)

    def gap() -> float:
        found = 0.0
        for request, completion in zip(requests, engine.generate(requests), strict=True):
            expected = torch.tensor(full_logprobs(model, request.prompt, completion.tokens))
            found = max(found, float((torch.tensor(completion.logprobs) - expected).abs().max()))
        return found

    assert 1e-4 < gap() < 0.5, "rounded, and no more than that"
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.2).add_(0.02)
    engine.sync(1)
    assert 1e-4 < gap() < 0.5


def test_a_half_precision_copy_keeps_its_positions_in_long_texts() -> None:
    """Rounded rotary frequencies turn keys at far positions by another angle; weights of large scores show it."""
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=64,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=16,
            max_position_embeddings=4096,
            initializer_range=0.2,
        )
    ).eval()
    for layer in model.model.layers:
        layer.self_attn.q_norm.weight.data.mul_(3)
    engine = EmbeddedEngine(model, None, pad_id=0, end_ids=frozenset(), dtype=torch.bfloat16)
    assert isinstance(engine._forward, CachedForward) and isinstance(engine._forward.body, CopiedBody)
    mine: Any = engine._forward.body.model
    assert mine.lm_head.weight.dtype == torch.bfloat16
    assert torch.equal(mine.model.rotary_emb.inv_freq, model.model.rotary_emb.inv_freq)
    gaps = []
    for width in (16, 2500):
        prompt = tuple(torch.randint(0, 64, (width,)).tolist())
        completions = engine.generate(requests_for([prompt], Sampling(max_tokens=16), samples=4))
        found = torch.tensor([c.logprobs for c in completions])
        expected = torch.tensor([full_logprobs(model, prompt, c.tokens) for c in completions])
        gaps.append(float((found - expected).abs().mean()))
    assert 0 < gaps[1] < 2.5 * gaps[0]


def test_slots_follow_memory_unless_they_are_given() -> None:
    engine = engine_for(tiny("llama"), slots=None)
    engine.generate([Request(0, (3, 4), Sampling(max_tokens=2), 0)])
    assert engine.slots == 1024
    engine._token_bytes = 512 * 2**20 // 100
    engine.generate([Request(0, (3, 4), Sampling(max_tokens=2), 0)])
    assert engine.slots == 32, "25 of four tokens would fit, and 32 are the least"
    engine.generate([Request(0, (3,), Sampling(max_tokens=1), 0)])
    assert engine.slots == 50
    assert engine_for(tiny("llama"), slots=7).slots == 7


def test_same_requests_give_the_same_bits() -> None:
    requests = requests_for(prompts(7), Sampling(max_tokens=20), samples=3)
    engine = engine_for(tiny("llama"))
    first = engine.generate(requests)
    assert engine.generate(requests) == first
    assert engine_for(tiny("llama")).generate(requests) == first


@pytest.mark.parametrize("name", ["llama", "mistral"])
def test_a_key_draws_the_same_sample_whatever_shares_the_batch(name: str) -> None:
    model = tiny(name)
    requests = requests_for(prompts(7), Sampling(max_tokens=20), samples=3)
    together = engine_for(model, slots=5).generate(requests)
    alone = engine_for(model, slots=1)
    apart = [alone.generate([request])[0] for request in requests]
    assert [c.tokens for c in together] == [c.tokens for c in apart]
    assert len({c.tokens for c in together}) > 15, "the noise differs between samples"


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_the_reference_path_equals_the_cached_one(name: str) -> None:
    model = tiny(name)
    cached, slow = engine_for(model, slots=3), engine_for(model, slots=3)
    slow._forward = ReferenceForward(model, pad_id=0)
    requests = requests_for(prompts(5), Sampling(max_tokens=15), samples=2)
    for fast, reference in zip(cached.generate(requests), slow.generate(requests), strict=True):
        assert fast.tokens == reference.tokens
        assert fast.logprobs == pytest.approx(reference.logprobs, abs=1e-4)
        assert fast.stop == reference.stop


def test_settings_may_differ_within_a_batch() -> None:
    model = tiny("llama")
    prompt = prompts(1)[0]
    settings = [
        GREEDY,
        Sampling(temperature=0.7, max_tokens=24),
        Sampling(top_k=3, max_tokens=24),
        Sampling(temperature=1.3, top_p=0.8, max_tokens=24),
    ]
    requests = [Request(i, prompt, sampling, 5) for i, sampling in enumerate(settings)]
    together = engine_for(model).generate(requests)
    for request, completion in zip(requests, together, strict=True):
        alone = engine_for(model).generate([request])[0]
        assert completion.tokens == alone.tokens
        assert completion.logprobs == pytest.approx(alone.logprobs, abs=1e-4)
    assert together[0].logprobs == pytest.approx(full_logprobs(model, prompt, together[0].tokens), abs=1e-4)


def test_weights_changed_in_place_are_seen() -> None:
    model = tiny("llama")
    engine = engine_for(model)
    requests = requests_for(prompts(4), GREEDY)
    before = engine.generate(requests)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.5).add_(0.05)
    engine.sync(7)
    after = engine.generate(requests)
    assert [c.tokens for c in after] != [c.tokens for c in before]
    assert {c.policy_version for c in before} == {0} and {c.policy_version for c in after} == {7}
    for request, completion in zip(requests, after, strict=True):
        expected = full_logprobs(model, request.prompt, completion.tokens)
        assert completion.logprobs == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("kind", ["fused step", "data", "replaced"])
def test_updates_that_torch_does_not_count_are_noticed_without_sync(kind: str) -> None:
    """The copy and what was kept of earlier turns are both of the old weights."""
    model = tiny("llama")
    engine = engine_for(model, slots=64)
    assert isinstance(engine._forward, CachedForward) and isinstance(engine._forward.body, FusedBody)
    first = [Request(i, prompt, Sampling(max_tokens=6), i, more=True) for i, prompt in enumerate(prompts(4))]
    turns = [(*r.prompt, *c.tokens, 9) for r, c in zip(first, engine.generate(first), strict=True)]
    if kind == "fused step":
        counted = [p._version for p in model.parameters()]
        optimiser = make_optimiser(list(model.named_parameters()), OptimiserConfig(lr=0.05))
        ids = torch.tensor([[5, 6, 7, 8]])
        model(input_ids=ids, labels=ids).loss.backward()
        optimiser.step()
        assert [p._version for p in model.parameters()] == counted, "else this test shows nothing"
    for weight in model.parameters():
        if kind == "data":
            weight.data.mul_(1.1)
        elif kind == "replaced":
            weight.data = weight.data * 1.1
    for request, completion in zip(
        again := [Request(i, turn, GREEDY, i) for i, turn in enumerate(turns)], engine.generate(again), strict=True
    ):
        expected = full_logprobs(model, request.prompt, completion.tokens)
        assert completion.logprobs == pytest.approx(expected, abs=1e-4)


def test_sync_copies_the_weights_whatever_is_noticed() -> None:
    """One number of one matrix, changed where torch does not count and the engine does not look."""
    model = tiny("llama")
    engine = engine_for(model)
    requests = requests_for(prompts(4), GREEDY)
    engine.generate(requests)
    model.model.layers[0].self_attn.o_proj.weight.data[0, 0] += 9.0
    engine.sync(1)
    for request, completion in zip(requests, engine.generate(requests), strict=True):
        expected = full_logprobs(model, request.prompt, completion.tokens)
        assert completion.logprobs == pytest.approx(expected, abs=1e-4)


def test_the_learner_can_train_after_generation_and_keeps_its_modes() -> None:
    model = tiny("llama")
    model.train()
    model.model.layers[0].eval()
    modes = [module.training for module in model.modules()]
    engine_for(model).generate(requests_for(prompts(3), GREEDY))
    assert [module.training for module in model.modules()] == modes
    model(input_ids=torch.tensor([[3, 4, 5]])).logits.sum().backward()
    assert float(model.lm_head.weight.grad.abs().sum()) > 0


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_lora_adapters_are_active() -> None:
    from peft import LoraConfig, get_peft_model

    base = tiny("llama")
    requests = requests_for(prompts(4), Sampling(max_tokens=10), samples=2)
    plain = engine_for(base).generate(requests)
    model = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    model.eval()
    engine = engine_for(model)
    assert engine.mode == "cached"
    adapted = engine.generate(requests)
    assert [c.tokens for c in adapted] != [c.tokens for c in plain]
    for request, completion in zip(requests, adapted, strict=True):
        expected = full_logprobs(model, request.prompt, completion.tokens)
        assert completion.logprobs == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["qwen2", "gemma2"])
@pytest.mark.parametrize("before", [False, True])
def test_checkpointing_of_another_hand_leaves_generation_as_it_was(name: str, before: bool) -> None:
    """Nothing is recomputed where nothing has a gradient, whether it was enabled before the engine or after."""
    model = tiny(name)
    requests = requests_for(prompts(3), GREEDY)
    expected = engine_for(tiny(name)).generate(requests)
    engine = None if before else engine_for(model)
    model.activation_checkpointing_enable({"use_reentrant": False})
    model.train()
    engine = engine or engine_for(model)
    assert engine.mode == "cached" and engine.generate(requests) == expected


def test_requests_may_come_while_others_are_in_flight() -> None:
    model = tiny("qwen2")
    requests = requests_for(prompts(8), Sampling(max_tokens=12), samples=2)
    expected = dict(zip([r.id for r in requests], engine_for(model).generate(requests), strict=True))
    engine = engine_for(model, slots=3)
    engine.submit(requests[:4])
    found: dict[Any, Completion] = {}
    waiting = requests[4:]
    while done := engine.collect():
        found |= dict(done)
        engine.submit(waiting[:2])
        waiting = waiting[2:]
    assert {key: c.tokens for key, c in found.items()} == {key: c.tokens for key, c in expected.items()}
    assert engine.collect() == []


def test_results_of_one_collect_come_in_the_order_of_submission() -> None:
    engine = engine_for(tiny("llama"), slots=8)
    engine.submit(requests_for(prompts(6), Sampling(max_tokens=1)))
    assert [key for key, _ in engine.collect()] == [(i, 0) for i in range(6)]


def test_busy_engines_refuse_to_sync_or_generate() -> None:
    engine = engine_for(tiny("llama"))
    engine.submit(requests_for(prompts(2), GREEDY))
    with pytest.raises(RuntimeError, match="sync"):
        engine.sync(1)
    with pytest.raises(RuntimeError, match="generate"):
        engine.generate([])


def test_a_prompt_the_model_cannot_answer_is_refused_and_nothing_queued() -> None:
    engine = engine_for(tiny("llama"), max_length=10)
    good = Request("good", (3, 4), GREEDY, 0)
    with pytest.raises(HoneError, match="empty"):
        engine.submit([good, Request("bad", (), GREEDY, 0)])
    with pytest.raises(HoneError, match="got 10 tokens; expected fewer than 10"):
        engine.submit([good, Request("bad", (3,) * 10, GREEDY, 0)])
    with pytest.raises(HoneError, match="tokenizer"):
        engine.submit([Request("bad", (3,), Sampling(stop=("x",)), 0)])
    assert engine.collect() == []


def test_logits_that_are_not_finite_are_an_error_of_the_model() -> None:
    model = tiny("llama")
    engine = engine_for(model)
    before = engine.generate(requests_for(prompts(6), GREEDY))
    weight = model.lm_head.weight.detach().clone()
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(HoneError, match="not finite"):
        engine.generate(requests_for(prompts(6), GREEDY))
    with torch.no_grad():
        model.lm_head.weight.copy_(weight)
    engine.sync(0)
    assert engine.generate(requests_for(prompts(6), GREEDY)) == before


def test_an_engine_of_a_policy_takes_its_ids_and_context() -> None:
    class Policy:
        model, tokenizer, pad_id, end_ids, max_length = tiny("llama"), None, 0, {END, 7}, 20

    engine = EmbeddedEngine.of(Policy(), slots=2)
    expected = EmbeddedEngine(Policy.model, None, pad_id=0, end_ids=frozenset({END, 7}), slots=2, max_length=20)
    requests = requests_for(prompts(5), Sampling(max_tokens=90), samples=2)
    found = engine.generate(requests)
    assert found == expected.generate(requests)
    assert {len(r.prompt) + len(c.tokens) for r, c in zip(requests, found, strict=True) if c.stop == "length"} == {20}


@pytest.mark.parametrize("slots", [3, 64])
@pytest.mark.parametrize("name", ["llama", "mistral", "gemma2", "gpt2"])
def test_a_later_turn_goes_on_from_what_was_kept(name: str, slots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny(name)
    kept, fresh = engine_for(model, slots=slots), engine_for(model, slots=slots)
    run: list[int] = []
    forward = kept._forward
    assert isinstance(forward, CachedForward)
    body = forward.body

    def counting(ids: torch.Tensor, *rest: Any) -> torch.Tensor:
        run.append(ids.shape[1])
        return body(ids, *rest)

    for name_of in ("session", "refresh"):
        setattr(counting, name_of, getattr(body, name_of))
    monkeypatch.setattr(forward, "body", counting)
    contexts = prompts(6, seed=2)
    for turn in range(4):
        settings = [Sampling(max_tokens=1 + (i + turn) % 5) for i in range(6)]
        requests = [Request(i, contexts[i], settings[i], 100 * turn + i, more=True) for i in range(6)]
        run.clear()
        found = kept.generate(requests)
        plain = [Request(("plain", r.id, turn), r.prompt, r.sampling, r.key) for r in requests]
        for one, other in zip(found, fresh.generate(plain), strict=True):
            assert one.tokens == other.tokens and one.stop == other.stop
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        if turn and slots == 64:
            assert max(run) <= 4, "only the last sampled token and the observation were run"
        contexts = [
            (*c, *f.tokens, *[(7 * turn + i) % 50 + 3] * (i % 4))
            for i, (c, f) in enumerate(zip(contexts, found, strict=True))
        ]


def test_what_was_kept_is_dropped_when_it_is_not_the_beginning_or_the_weights_change() -> None:
    model = tiny("llama")
    engine = engine_for(model, slots=64)
    forward = engine._forward
    assert isinstance(forward, CachedForward)
    first = [Request(i, prompt, Sampling(max_tokens=6), i, more=True) for i, prompt in enumerate(prompts(4))]
    turns = [(*r.prompt, *c.tokens, 9) for r, c in zip(first, engine.generate(first), strict=True)]
    assert forward._kept.tokens > 0
    other = [Request(0, (5, *turns[0]), GREEDY, 3), Request("new", turns[1], GREEDY, 3)]
    assert engine.generate(other) == engine_for(model, slots=64).generate(other)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.1)
    again = [Request(i, turn, GREEDY, i) for i, turn in enumerate(turns)]
    assert engine.generate(again) == engine_for(model, slots=64).generate(again), "changed weights are noticed"
    assert forward._kept.tokens == 0
    engine.generate(first)
    assert forward._kept.tokens > 0
    engine.sync(1)
    assert forward._kept.tokens == 0


def test_nothing_is_kept_of_episodes_that_ended_with_the_same_prompt_or_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny("llama")
    engine = engine_for(model, slots=64)
    forward = engine._forward
    assert isinstance(forward, CachedForward)
    first = [Request(i, prompts(1)[0], Sampling(max_tokens=5, temperature=0), i, more=True) for i in range(4)]
    after = (*first[0].prompt, *engine.generate(first)[0].tokens, 7)
    assert forward._kept.tokens > 0
    last = [Request(i, after, GREEDY, i) for i in range(4)]
    for completion in engine.generate(last):
        assert completion.logprobs == pytest.approx(full_logprobs(model, after, completion.tokens), abs=1e-4)
    assert forward._kept.tokens == 0, "one of four was used; the other three are not wanted either"

    engine.generate(first)
    assert forward._kept.tokens > 0
    monkeypatch.setattr(forward, "add", None)
    with pytest.raises(TypeError):
        engine.generate(last)
    assert forward._kept.tokens == 0, "abandoned before it was used"


def test_what_is_kept_and_rows_in_use_stay_within_the_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_for(tiny("llama"), slots=5)
    forward = engine._forward
    assert isinstance(forward, CachedForward)
    held: list[int] = []
    step = forward.step

    def watching(*args: Any) -> torch.Tensor:
        held.append(forward._kept.tokens + forward.cache.capacity * forward.cache.length)
        return step(*args)

    monkeypatch.setattr(forward, "step", watching)
    contexts = prompts(12)
    for turn in range(3):
        requests = [Request(i, c, Sampling(max_tokens=8), 9 * turn + i, more=True) for i, c in enumerate(contexts)]
        found = engine.generate(requests)
        contexts = [(*c, *f.tokens, 4) for c, f in zip(contexts, found, strict=True)]
        longest = max(len(r.prompt) + 8 for r in requests)
        assert max(held) <= 5 * longest
        held.clear()
