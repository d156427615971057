"""Chat templates: what a rollout sees equals what the template renders of the finished dialogue."""

from typing import Any

import pytest

from hone.core.errors import HoneError
from hone.models.chat import Renderer
from hone.models.tokenizer import byte_tokenizer, char_tokenizer

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# As Llama 2's: begins with <s>, no system role, alternating roles, blanks around the answer, </s> after it.
BRACKETS = (
    "{{ '<s>' }}{% for m in messages %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}"
    "{% elif m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }} </s>{% endif %}"
    "{% endfor %}"
)
# No end token at all; thinking is cut out of earlier answers.
LABELS = (
    "{% for m in messages %}{{ m.role | capitalize }}: {{ m.content.split('</think>')[-1] }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)


def chat(template: str, *special: str) -> Any:
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    tokenizer.split_special_tokens = False
    tokenizer.chat_template = template
    return tokenizer


def chatml() -> Any:
    return chat(CHATML, "<|im_start|>", "<|im_end|>")


def text_of(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids))


def test_plain_text_is_encoded_as_it_stands() -> None:
    tokenizer = char_tokenizer("12+= \n")
    renderer = Renderer(tokenizer)
    assert not renderer.chat and renderer.end_id == tokenizer.eos_token_id
    assert renderer.opening("1+1=") == tokenizer("1+1=")["input_ids"]
    assert renderer.following("\n2", [5, 1], ended=True) == tokenizer("\n2")["input_ids"]
    assert renderer.decode([*tokenizer(" 1 ")["input_ids"], 1, 0]) == " 1 "
    assert (
        renderer.opening("", [{"role": "system", "content": "1"}, {"role": "user", "content": "2"}])
        == (tokenizer("1\n\n2")["input_ids"])
    )
    with pytest.raises(HoneError, match="observation is empty"):
        renderer.opening("")


def test_plain_tokenizers_that_add_tokens_keep_the_first_and_lose_the_last() -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A <eos>", special_tokens=[("<s>", 259), ("<eos>", 257)]
    )
    renderer = Renderer(tokenizer)
    assert renderer.opening("a") == [259, 97]
    assert renderer.opening("") == [259]
    assert renderer.following("a", [98], ended=False) == [97]


def test_chatml_opening_and_following() -> None:
    tokenizer = chatml()
    renderer = Renderer(tokenizer)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert renderer.chat and renderer.end_id == end
    opening = renderer.opening("Hi")
    assert text_of(tokenizer, opening) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    rest = "\n<|im_start|>user\nNo.<|im_end|>\n<|im_start|>assistant\n"
    assert text_of(tokenizer, renderer.following("No.", [65, end], ended=True)) == rest
    assert text_of(tokenizer, renderer.following("No.", [65, 66], ended=False)) == "<|im_end|>" + rest
    # Another end token was sampled: it stays, and the template's follows.
    assert renderer.following("No.", [65, 257], ended=True)[0] == end


@pytest.mark.parametrize("ended", [True, False])
def test_a_rollout_has_the_tokens_of_the_rendered_dialogue(ended: bool) -> None:
    tokenizer = chatml()
    renderer = Renderer(tokenizer)
    action = tokenizer("A B")["input_ids"] + ([renderer.end_id] if ended else [])
    context = renderer.opening("Hi") + action + renderer.following("No.", action, ended)
    dialogue = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "A B"},
        {"role": "user", "content": "No."},
    ]
    whole = tokenizer.apply_chat_template(dialogue, tokenize=False, add_generation_prompt=True)
    assert context == tokenizer(whole, add_special_tokens=False)["input_ids"]


def test_a_template_that_begins_with_a_token_ends_with_a_blank_and_refuses_system_messages() -> None:
    tokenizer = chat(BRACKETS, "<s>", "</s>")
    renderer = Renderer(tokenizer)
    end = tokenizer.convert_tokens_to_ids("</s>")
    assert renderer.end_id == end
    assert text_of(tokenizer, renderer.opening("Hi")) == "<s>[INST] Hi [/INST]"
    assert text_of(tokenizer, renderer.following("No.", [65, end], ended=True)) == "[INST] No. [/INST]"
    assert text_of(tokenizer, renderer.following("No.", [65], ended=False)) == " </s>[INST] No. [/INST]"
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "user", "content": "you"},
    ]
    assert text_of(tokenizer, renderer.opening("", messages)) == "<s>[INST] Be kind.\n\nHi\n\nyou [/INST]"
    assert messages[0]["role"] == "system"
    with pytest.raises(HoneError, match=r"refuses these messages.*alternate"):
        renderer.opening("", [{"role": "assistant", "content": "I begin"}])


def test_a_template_without_end_token_uses_the_tokenizers() -> None:
    tokenizer = chat(LABELS)
    renderer = Renderer(tokenizer)
    assert renderer.end_id == tokenizer.eos_token_id
    following = renderer.following("No.", [65, tokenizer.eos_token_id], ended=True)
    assert text_of(tokenizer, following) == "\n\nUser: No.\n\nAssistant:"


def test_special_tokens_of_the_template_in_messages_are_not_invented() -> None:
    renderer = Renderer(chatml())
    assert renderer.decode([*renderer.opening("Hi")]) == "user\nHi\nassistant\n"


def test_conversation_trains_answers_and_their_end_tokens() -> None:
    tokenizer = chatml()
    renderer = Renderer(tokenizer)
    messages = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "A assistant\n"},
        {"role": "user", "content": "No."},
        {"role": "assistant", "content": "B"},
        {"role": "user", "content": "bye"},
    ]
    ids, train = renderer.conversation(messages)
    trained = "".join(text_of(tokenizer, [i]) if t else "·" for i, t in zip(ids, train, strict=True))
    assert [part for part in trained.split("·") if part] == ["A assistant\n<|im_end|>", "B<|im_end|>"]
    assert text_of(tokenizer, ids) == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        "A assistant\n<|im_end|>\n<|im_start|>user\nNo.<|im_end|>\n<|im_start|>assistant\nB<|im_end|>"
    )


def test_conversation_of_a_plain_tokenizer_and_without_answers() -> None:
    tokenizer = char_tokenizer("12ab")
    renderer = Renderer(tokenizer)
    turns = [("user", "1"), ("assistant", "a"), ("user", "2"), ("assistant", "b")]
    ids, train = renderer.conversation([{"role": r, "content": c} for r, c in turns])
    assert (ids, train) == ([3, 5, 1, 4, 6, 1], [False, True, True, False, True, True])
    for wrong in ([], [{"role": "user", "content": "1"}], [{"role": "assistant", "content": "a"}]):
        with pytest.raises(HoneError, match="needs an assistant message"):
            renderer.conversation(wrong)
