"""The light core: collecting, preparing and tracing work without torch and every other extra."""

import json
import subprocess
import sys
import zipfile

import pytest

RUN_WITHOUT_EXTRAS = """
import sys
for name in (
    "torch", "tokenizers", "gigatoken", "rjieba", "rensa", "transformers", "numba", "trafilatura",
    "pypdf", "lxml", "docx", "ftfy", "py3langid", "phonenumbers", "pyarrow",
):
    sys.modules[name] = None  # as if it were not installed
from memlm.cli.app import run
sys.exit(run(sys.argv[1:]))
"""


def run_light(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUN_WITHOUT_EXTRAS, *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", stdin=subprocess.DEVNULL
    )


@pytest.fixture
def collected(tmp_path):
    words = (f"Line {number} says {number * 7919 % 1000}.\n" for number in range(40))
    text = "".join(words) + "To be or not to be, that is the question.\n"
    (tmp_path / "notes.txt").write_text(text, "utf-8")
    done = run_light("collect", tmp_path / "ws", tmp_path / "notes.txt", "--json")
    assert done.returncode == 0, done.stderr
    return tmp_path / "ws"


def test_trace_works_without_extras(collected):
    done = run_light("trace", collected, "--text", "not to be, that is the question", "--json")
    assert json.loads(done.stdout)["recited_share"] == 1.0


def test_lookup_works_without_extras(collected):
    done = run_light("lookup", collected, "to be, that", "--json")
    found = json.loads(done.stdout)
    assert found["continuations"][0]["sources"], done.stderr


@pytest.mark.parametrize("tokenizer", ["auto", "char", "byte", "whitespace"])
def test_prepare_works_without_extras(collected, tokenizer):
    done = run_light("prepare", collected, "--tokenizer", tokenizer, "--json")
    assert json.loads(done.stdout)["documents"] == 1


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("train",), "train"),
        (("prepare", "--tokenizer", "bpe"), "fast"),
        (("score",), "train"),
        (("attend", "a text"), "train"),
        (("info", "--statistics"), "words"),
    ],
    ids=["train", "bpe", "score", "attend", "statistics"],
)
def test_missing_extra_names_the_command_that_installs_it(collected, words, extra):
    command, *options = words
    files = [collected.parent / "notes.txt"] if command == "score" else []
    done = run_light(command, collected, *files, *options, "--json")
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (4, "extra_missing")
    assert f"memlm[{extra}]" in error["hint"]


def test_bringing_a_model_names_its_extra(collected):
    folder = collected.parent / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "gpt2"}', "utf-8")
    words = ("score", collected, collected.parent / "notes.txt", "--model", folder, "--json")
    done = run_light(*words)
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (4, "extra_missing")
    assert "memlm[hf]" in error["hint"]


@pytest.mark.parametrize("ending", ["html", "pdf", "epub"])
def test_document_whose_parser_is_missing_names_the_command_that_installs_it(tmp_path, ending):
    (tmp_path / f"a.{ending}").write_bytes(b"words")
    done = run_light("collect", tmp_path / "ws", tmp_path / f"a.{ending}", "--json")
    (rejected,) = json.loads(done.stdout)["rejected"]
    assert done.returncode == 0
    assert "memlm[documents]" in rejected["reason"]


def test_odt_is_read_without_extras(tmp_path):
    odf = "urn:oasis:names:tc:opendocument:xmlns:"
    with zipfile.ZipFile(tmp_path / "a.odt", "w") as document:
        content = f'<p xmlns="{odf}text:1.0">The lamp was lit.</p>'
        document.writestr("content.xml", content)
    done = run_light("collect", tmp_path / "ws", tmp_path / "a.odt", "--json")
    assert json.loads(done.stdout)["characters"] == len("The lamp was lit.")


def test_demo_shows_what_it_can_and_names_the_extra(tmp_path):
    done = run_light("demo", tmp_path / "demo", "--language", "en")
    assert done.returncode == 0, done.stderr
    assert "memlm[train]" in done.stdout
    assert "alice/02-the-pool-of-tears.txt" in done.stdout
