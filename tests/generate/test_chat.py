"""A conversation: what is read, what is answered, and that nothing is read twice."""

from __future__ import annotations

import numpy as np
import pytest

from memlm.errors import ConfigError, InputError
from memlm.generate import Conversation, GenerateConfig, parse_pattern
from memlm.prepare.tokenizer import ByteTokenizer, CharTokenizer

GREEDY = GenerateConfig(temperature=0, tokens=30, seed=1)


class Expectant:
    """Expects one text, and finds each next token of it all but certain; V ids in all.

    The state is what was read. `tokens_read` counts everything that it was ever given to read.
    """

    def __init__(self, tokenizer, text: str, *, ends_at: int | None = None) -> None:
        self.vocabulary_size = tokenizer.vocabulary_size
        self.script = [tokenizer.end, *tokenizer.encode(text).ids.tolist()]
        if ends_at is not None:
            self.script[ends_at + 1] = tokenizer.end
        self.tokens_read = 0
        self.last_state: tuple[int, ...] = ()

    def start(self, batch: int):
        return ((),) * batch

    def read(self, state, tokens):
        rows = [list(row) for row in state]
        found = np.full((*tokens.shape, self.vocabulary_size), -20.0, dtype=np.float32)
        for row, line in enumerate(tokens.tolist()):
            for place, token in enumerate(line):
                rows[row].append(token)
                following = len(rows[row]) % len(self.script)
                found[row, place, self.script[following]] = 0.0
        self.tokens_read += tokens.size
        self.last_state = tuple(rows[0])
        return found, tuple(map(tuple, rows))

    def advance(self, state, tokens):
        found, after = self.read(state, np.asarray(tokens)[:, None])
        return found[:, 0], after

    def select(self, state, rows):
        return tuple(state[row] for row in rows)


def characters(text: str) -> CharTokenizer:
    return CharTokenizer("".join(sorted({*text, "\n"})), labels=[], name="char")


def conversation(text: str, *, config=GREEDY, pattern=None, tokenizer=None, **options):
    tokenizer = tokenizer or characters(text)
    model = Expectant(tokenizer, text, **options)
    shape = parse_pattern(pattern) if pattern is not None else None
    return Conversation(model, tokenizer, config, pattern=shape), model, tokenizer


def test_an_answer_ends_at_a_blank_line():
    chat, _, _ = conversation("The cat sat\nby me.\n\nThen")
    turn = chat.answer("The cat").turn
    assert (turn.answer, turn.ended_by) == (" sat\nby me.", "stop")


def test_what_is_heard_is_the_answer_without_its_leading_white_space():
    chat, _, _ = conversation("Who?\n\nNobody.\n\nThen")
    heard: list[str] = []
    turn = chat.answer("Who?", on_text=heard.append).turn
    assert ("".join(heard), turn.answer) == ("Nobody.", "\n\nNobody.")


def test_a_second_turn_is_read_after_the_first_and_nothing_twice():
    text = "ab cd.\n\nef gh.\n\nij"
    chat, model, tokenizer = conversation(text)
    assert [chat.answer(line).turn.answer for line in ("ab", "ef")] == [" cd.", " gh."]
    whole = [tokenizer.end, *tokenizer.encode("ab cd.\n\nef gh.").ids.tolist()]
    # The first line break of the stop was read before it could be known to be one.
    assert model.last_state == (*whole, *tokenizer.encode("\n").ids.tolist())
    assert model.tokens_read == len(model.last_state) + 2  # "." and its line break, read again


def test_no_half_of_a_stop_is_left_in_mind():
    text = "ab cd the END of it"
    chat, model, tokenizer = conversation(
        text, config=GenerateConfig(temperature=0, tokens=30, stop=("the END",))
    )
    assert chat.answer("ab").turn.answer == " cd "
    chat.answer("ef", should_stop=lambda: True)
    read = tokenizer.decode(model.last_state)
    assert read.startswith("ab cd \n\nef")


def test_voices_of_a_play_are_spoken_in_turn():
    text = "A:\nhi\n\nB:\nho.\n\nA:\nhu\n\nB:\nha!\n\n"
    chat, _, _ = conversation(text, pattern=r"A:\n{you}\n\nB:\n{model}\n\n")
    assert [chat.answer(line).turn.answer for line in ("hi", "hu")] == ["ho.", "ha!"]


@pytest.mark.parametrize("pattern", ["{you}", "{model}", "{model} {you}", "{you}{you}{model}", ""])
def test_a_pattern_without_both_voices_is_refused(pattern):
    with pytest.raises(ConfigError) as caught:
        parse_pattern(pattern)
    assert caught.value.code == "chat_pattern"


def test_a_pattern_may_have_a_backslash_and_what_looks_like_an_escape():
    assert parse_pattern(r"{you}\\n{model}\t").between == "\\n"


def test_a_document_may_not_end_before_the_answer_has_begun():
    chat, _, _ = conversation("abcd", ends_at=2)
    assert chat.answer("ab").turn.answer.strip() != ""


def test_the_end_of_a_document_ends_the_answer_and_is_not_read():
    chat, model, tokenizer = conversation("ab cd. ef", ends_at=6)
    turn = chat.answer("ab").turn
    assert (turn.answer, turn.ended_by) == (" cd.", "end")
    chat.answer("ab", should_stop=lambda: True)
    assert tokenizer.end not in model.last_state[1:]


def test_an_answer_that_is_stopped_is_kept_as_far_as_it_came():
    chat, _, _ = conversation("ab cd. ef")
    heard: list[str] = []
    turn = chat.answer("ab", on_text=heard.append, should_stop=lambda: len(heard) == 3).turn
    assert (turn.answer, turn.ended_by, len(chat.turns)) == (" cd.", "interrupt", 1)


def test_an_empty_line_lets_the_answer_go_on_as_if_it_had_not_ended():
    text = "ab cd ef gh.\n\n"
    config = GenerateConfig(temperature=0, tokens=3)
    chat, model, tokenizer = conversation(text, config=config)
    told = [chat.answer(line).turn.answer for line in ("ab", "", "")]
    assert told == [" cd", " ef", " gh"]
    assert tokenizer.decode(model.last_state) == "ab cd ef g"
    again = Conversation(model, tokenizer, config, turns=chat.turns)
    assert again.answer("").turn.answer == "."


def test_undo_goes_back_to_the_state_before_and_reads_nothing_again():
    text = "ab cd.\n\nef gh.\n\n"
    chat, model, _ = conversation(text)
    chat.answer("ab")
    first = chat.answer("ef").turn
    before = model.tokens_read
    assert chat.undo() == first
    assert chat.answer("ef").turn.answer == first.answer
    assert model.tokens_read - before < len(text)


def test_after_undoing_twice_the_rest_is_read_again():
    text = "ab cd.\n\nef gh.\n\nij kl.\n\n"
    chat, _, _ = conversation(text)
    told = [chat.answer(line).turn.answer for line in ("ab", "ef", "ij")]
    assert [chat.undo().line, chat.undo().line] == ["ij", "ef"]
    assert [chat.answer(line).turn.answer for line in ("ef", "ij")] == told[1:]


def test_nothing_is_undone_where_nothing_was_said():
    assert conversation("ab")[0].undo() is None


def test_turns_of_before_are_read_first():
    text = "ab cd.\n\nef gh.\n\n"
    chat, model, tokenizer = conversation(text)
    turns = (chat.answer("ab").turn,)
    again = Conversation(model, tokenizer, GREEDY, turns=turns)
    assert again.answer("ef").turn.answer == " gh."


def test_another_model_goes_on_from_the_same_text():
    text = "ab cd.\n\nef gh.\n\n"
    chat, _, tokenizer = conversation(text)
    chat.answer("ab")
    chat.go_on_with(
        Expectant(tokenizer, "ab cd.\n\nef other.\n\n".replace("other", "hhhh")), tokenizer
    )
    assert chat.answer("ef").turn.answer == " hhhh."


def test_a_line_that_the_vocabulary_lacks_changes_nothing():
    chat, _, _ = conversation("ab cd.\n\n")
    with pytest.raises(InputError) as caught:
        chat.answer("ab 龘")
    assert (caught.value.code, chat.turns) == ("prompt_unknown", ())
    assert chat.answer("ab").turn.answer == " cd."


def test_a_pattern_that_the_vocabulary_lacks_is_read_without_what_it_lacks():
    text = "ab cd. ef gh."
    tokenizer = CharTokenizer("".join(sorted(set(text))), labels=[], name="char")  # no line break
    chat, model, _ = conversation(text, tokenizer=tokenizer)
    chat.answer("ab")
    chat.answer("ef")
    assert tokenizer.unknown not in model.last_state


def test_half_a_character_is_never_written():
    tokenizer = ByteTokenizer(labels=[], name="byte")
    config = GenerateConfig(temperature=0, tokens=4)  # of a character and a third
    chat, _, _ = conversation("月光下", tokenizer=tokenizer, config=config)
    heard: list[str] = []
    turn = chat.answer("月", on_text=heard.append).turn
    assert (turn.answer, "".join(heard)) == ("光", "光")


def test_several_answers_to_one_turn_are_refused():
    chat, _, _ = conversation("ab", config=GenerateConfig(samples=2))
    with pytest.raises(ConfigError) as caught:
        chat.answer("ab")
    assert caught.value.code == "chat_one_answer"


def test_the_tokens_of_an_answer_are_told_with_the_state_before_them():
    chat, _, tokenizer = conversation("ab cd.\n\n")
    found = chat.answer("ab")
    assert tokenizer.decode(found.ids) == "b cd.\n\n"
    assert found.state == ((tokenizer.end, *tokenizer.encode("a").ids.tolist()),)


def _last_answers(lines: str, config: GenerateConfig, *, reads_again: bool) -> list[str]:
    """Return the answers in "cat cat" to "cat ", then to Enter for more."""
    chat, model, tokenizer = conversation("cat cat cat cat", config=config)
    told = [chat.answer("cat ").turn.answer]
    for _ in range(4):
        if reads_again:
            chat.go_on_with(model, tokenizer)
        told.append(chat.answer(lines).turn.answer)
    return told


@pytest.mark.parametrize("reads_again", [False, True])
@pytest.mark.parametrize("tokens", [1, 2])
def test_a_forbidden_word_is_not_written_across_answers(tokens, reads_again):
    config = GenerateConfig(temperature=0, tokens=tokens, forbid=("cat",), seed=1)
    assert "cat" not in "".join(_last_answers("", config, reads_again=reads_again))


@pytest.mark.parametrize("reads_again", [False, True])
def test_an_allowed_word_is_finished_when_the_answer_goes_on(reads_again):
    config = GenerateConfig(temperature=0, tokens=1, allow=("act",), seed=1)
    # After "a" and "c" the model would rather write another letter than the word's own.
    text = "".join(_last_answers("", config, reads_again=reads_again)).strip()
    assert text == "act"[: len(text)]
    assert len(text) > 1


def test_a_penalty_sees_all_of_the_conversation_whether_it_is_carried_or_read_again():
    config = GenerateConfig(temperature=0, tokens=1, repetition_penalty=2, seed=1)
    chat, model, tokenizer = conversation("abcdefgh\n", config=config)
    model.read = _indifferent(model)
    told = [chat.answer(line).turn.answer for line in ("ab", "", "")]
    chat.go_on_with(model, tokenizer)
    told.append(chat.answer("").turn.answer)
    assert not {"a", "b"} & {*told}
    assert len({*told}) == len(told)


def test_a_conversation_keeps_its_label_when_it_is_read_again():
    tokenizer = CharTokenizer("abcd \n", labels=["x", "y", "z"], name="char")
    for seed in range(4):
        chat, model, _ = conversation(
            "ab cd", tokenizer=tokenizer, config=GenerateConfig(temperature=0, tokens=1, seed=seed)
        )
        model.read = _indifferent(model)
        chat.answer("ab")
        opening = model.last_state[:2]
        for _ in range(8):
            chat.go_on_with(model, tokenizer)
            chat.answer("")
            assert model.last_state[:2] == opening


def _indifferent(model: Expectant):
    """Return a `read` that finds every token as likely as any other."""
    read = model.read

    def indifferent(state, tokens):
        found, after = read(state, tokens)
        return np.full_like(found, -np.log(model.vocabulary_size)), after

    return indifferent
