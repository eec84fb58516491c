"""Text that is held out is never learned from, whatever is collected afterwards."""

from __future__ import annotations

from memlm import DocumentStore

FAST = (
    "--steps", "4", "--hidden-width", "8", "--embedding-width", "8", "--threads", "1",
    "--device", "cpu",
)  # fmt: skip


def test_held_out_file_is_still_held_out_after_its_folder_is_collected_again(
    memlm, corpus, tmp_path
):
    ws = tmp_path / "ws"
    memlm("train", ws, corpus, *FAST, "--held-out", corpus / "deep" / "chinese.txt")
    before = memlm("prepare", ws)["tokens"]
    assert before["held_out"] > 0
    again = memlm("collect", ws, corpus)
    assert (again["documents_changed"], again["documents_unchanged"]) == (0, 82)
    assert memlm("prepare", ws)["tokens"] == before


def test_held_out_table_is_read_as_the_others_are(memlm, tmp_path):
    ws = tmp_path / "ws"
    for name in ("train.csv", "test.csv"):
        rows = [
            f"the cat sees the moon {name} {n},another long text of no use {n}" for n in range(9)
        ]
        (tmp_path / name).write_text("\n".join(["review,text", *rows]) + "\n")
    options = ("--held-out", tmp_path / "test.csv", "--text-column", "review")
    memlm("train", ws, tmp_path / "train.csv", *FAST, *options)
    with DocumentStore(ws / "documents.sqlite") as store:
        assert all(document.text.startswith("the cat") for document in store)
        assert [document.split for document in store].count("held_out") == 9
