"""Archives: every complete member is read, every trap in one is said, nothing lands outside."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import stat
import struct
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memlm.collect import CollectConfig, Limits, Reading, read_file, sources
from memlm.errors import InputError, MissingExtraError
from memlm.records import SourceNote, SourceProblem, SourceText

Files = Mapping[str, bytes]


def read(path: Path, **limits: float) -> list[SourceText | SourceProblem | SourceNote]:
    reading = Reading(config=CollectConfig(), limits=Limits(**limits))  # type: ignore[arg-type]
    return list(read_file(path, reading))


def texts(path: Path, **limits: float) -> dict[str, str]:
    return {i.member: i.text for i in read(path, **limits) if isinstance(i, SourceText)}


def problems(path: Path, **limits: float) -> dict[str, str]:
    return {i.member: i.code for i in read(path, **limits) if isinstance(i, SourceProblem)}


def notes(path: Path) -> list[str]:
    return [item.code for item in read(path) if isinstance(item, SourceNote)]


def code_of(path: Path, **limits: float) -> str:
    with pytest.raises(InputError) as caught:
        read(path, **limits)
    assert caught.value.message
    return caught.value.code


def pack_zip(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tar_bytes(files: Files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def zstd(data: bytes) -> bytes:
    zstandard = pytest.importorskip("zstandard")
    return bytes(zstandard.ZstdCompressor().compress(data))


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd,
}
TAR_ENDINGS = {".tgz": ".gz", ".tbz2": ".bz2", ".txz": ".xz"} | {f".tar{e}": e for e in COMPRESS}
ARCHIVES = [".zip", ".tar", *TAR_ENDINGS]


def pack(folder: Path, ending: str, files: Files) -> Path:
    path = folder / f"packed{ending}"
    if ending == ".zip":
        return pack_zip(path, files)
    data = tar_bytes(files)
    path.write_bytes(COMPRESS[TAR_ENDINGS[ending]](data) if ending in TAR_ENDINGS else data)
    return path


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's place for temporary files, to see that nothing stays there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture(autouse=True)
def nothing_is_left(scratch: Path, tmp_path: Path) -> object:
    yield
    assert list(scratch.iterdir()) == []
    assert not list(tmp_path.rglob("*evil*"))


# -- what is in them ----------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ARCHIVES)
def test_members_are_read_by_their_endings(tmp_path: Path, ending: str) -> None:
    files = {"a.txt": "灯火".encode(), "in/b.csv": b"text,label\none,x\ntwo,y\n", "README": b"read"}
    found = [i for i in read(pack(tmp_path, ending, files)) if isinstance(i, SourceText)]
    assert [(i.member, i.position, i.text, i.label) for i in found] == [
        ("a.txt", None, "灯火", None),
        ("in/b.csv", 2, "one", "x"),
        ("in/b.csv", 3, "two", "y"),
        ("README", None, "read", None),
    ]


@pytest.mark.parametrize("ending", COMPRESS)
def test_compressed_file_is_read_as_what_is_in_it(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.jsonl{ending}"
    path.write_bytes(COMPRESS[ending](b'{"text": "one"}\n{"text": "two"}\n'))
    assert [(i.member, i.position) for i in read(path) if isinstance(i, SourceText)] == [
        ("", 1),
        ("", 2),
    ]


def test_archives_within_archives_are_read_with_the_whole_way(tmp_path: Path) -> None:
    inner = tar_bytes({"deep/c.txt": b"deep", "d.txt.gz": gzip.compress(b"packed")})
    path = pack_zip(tmp_path / "a.zip", {"x/b.tar.gz": gzip.compress(inner), "e.txt": b"top"})
    assert texts(path) == {
        "x/b.tar.gz/deep/c.txt": "deep",
        "x/b.tar.gz/d.txt.gz": "packed",
        "e.txt": "top",
    }


@pytest.mark.parametrize("ending", COMPRESS)
def test_compressed_member_is_read_as_what_is_in_it(tmp_path: Path, ending: str) -> None:
    rows = COMPRESS[ending](b"text,label\none,x\n")
    path = pack_zip(tmp_path / "a.zip", {f"b.csv{ending}": rows, f"c.png{ending}": b"never read"})
    found = [i for i in read(path) if isinstance(i, SourceText)]
    assert [(i.member, i.position, i.label) for i in found] == [(f"b.csv{ending}", 2, "x")]
    assert problems(path) == {f"c.png{ending}": "ending_unknown"}


def test_endless_nesting_is_a_problem_of_the_innermost(tmp_path: Path) -> None:
    data = b"text"
    for number in range(4):
        data = pack_zip(tmp_path / "in.zip", {f"{number}.zip" if number else "a.txt": data})
        data = (tmp_path / "in.zip").read_bytes()
    path = tmp_path / "in.zip"
    assert texts(path, depth=3) == {"3.zip/2.zip/1.zip/a.txt": "text"}
    assert problems(path, depth=2) == {"3.zip/2.zip/1.zip": "nested_too_deep"}


@pytest.mark.parametrize(
    ("name", "code"),
    [("photo.png", "ending_unknown"), ("empty.txt", "file_empty"), ("bad.csv", "file_empty")],
)
def test_member_that_cannot_be_read_is_said_and_the_others_are_read(
    tmp_path: Path, name: str, code: str
) -> None:
    path = pack_zip(tmp_path / "a.zip", {"1.txt": b"one", name: b"", "2.txt": b"two"})
    assert texts(path) == {"1.txt": "one", "2.txt": "two"}
    assert problems(path) == {name: code}


def test_bad_row_of_a_member_keeps_its_line(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "a.zip", {"b.csv": b"text,label\none,x\ntwo\n"})
    (problem,) = [item for item in read(path) if isinstance(item, SourceProblem)]
    assert (problem.member, problem.position, problem.code) == ("b.csv", 3, "row_shape")


def test_sentence_about_a_member_names_it_as_people_do(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "a.zip", {"in/b.csv": b"x,y\n1,2\n", "c.txt": "灯火".encode("gbk")})
    found = read(path)
    assert [i.values["path"] for i in found if not isinstance(i, SourceText)] == [
        "in/b.csv",
        "c.txt",
    ]


def test_sentence_about_a_compressed_file_names_it_as_people_do(tmp_path: Path) -> None:
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"x,y\n1,2\n"))
    with pytest.raises(InputError) as caught:
        read(tmp_path / "b.csv.gz")
    assert caught.value.values["path"] == "b.csv.gz"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MissingExtraError("extra_missing", package="trafilatura", extra="documents"), "extra_m"),
        (ZeroDivisionError("words of the member"), "reader_failed"),
    ],
    ids=["package missing", "reader fails"],
)
def test_member_whose_reader_cannot_work_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setitem(sources.READERS, ".html", fail)
    path = pack_zip(tmp_path / "a.zip", {"a.html": b"<p>one", "b.txt": b"two"})
    assert texts(path) == {"b.txt": "two"}
    assert problems(path)["a.html"].startswith(code)


@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_hidden_members_are_left_alone_and_counted(tmp_path: Path, ending: str) -> None:
    hidden = {"__MACOSX/._a.txt": b"x", "in/.DS_Store": b"x", ".git/a.txt": b"x"}
    path = pack(tmp_path, ending, hidden | {"a.txt": b"one"})
    assert texts(path) == {"a.txt": "one"}
    (problem,) = [item for item in read(path) if isinstance(item, SourceProblem)]
    assert (problem.code, problem.values["count"]) == ("hidden_members", 3)


@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_empty_archive_is_rejected(tmp_path: Path, ending: str) -> None:
    assert code_of(pack(tmp_path, ending, {})) == "file_empty"


def test_archive_that_holds_nothing_but_junk_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_bytes({}) + b"junk" * 1000)
    assert code_of(tmp_path / "a.tar") == "file_empty"


def test_same_name_twice_is_two_texts(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "a.zip", {"a.txt": b"one", "b.txt": b"two"})
    path.write_bytes(path.read_bytes().replace(b"b.txt", b"a.txt"))
    assert [i.text for i in read(path) if isinstance(i, SourceText)] == ["one", "two"]


# -- names --------------------------------------------------------------------------------------

BAD_NAMES = ["../evil.txt", "a/../../evil.txt", "/evil.txt", "C:\\evil.txt", "C:/evil.txt"]


def tar_with(entry: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(entry, io.BytesIO(b"x" * entry.size))
        good = tarfile.TarInfo("good.txt")
        good.size = 4
        archive.addfile(good, io.BytesIO(b"good"))
    return buffer.getvalue()


@pytest.mark.parametrize("name", [*BAD_NAMES, "evil\0.txt", "..\\evil.txt"])
def test_name_that_leads_out_of_a_zip_is_a_problem(tmp_path: Path, name: str) -> None:
    safe = "".join("_" if character in "\0\\" else character for character in name)
    path = pack_zip(tmp_path / "a.zip", {safe: b"x", "good.txt": b"good"})
    path.write_bytes(path.read_bytes().replace(safe.encode(), name.encode()))
    assert texts(path) == {"good.txt": "good"}
    assert list(problems(path).values()) == ["member_name_bad"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_name_that_leads_out_of_a_tar_is_a_problem(tmp_path: Path, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = 1
    (tmp_path / "a.tar").write_bytes(tar_with(entry))
    assert texts(tmp_path / "a.tar") == {"good.txt": "good"}
    assert list(problems(tmp_path / "a.tar").values()) == ["member_name_bad"]


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE],
    ids=["link", "hard link", "character device", "block device", "pipe"],
)
def test_what_is_no_file_in_a_tar_is_a_problem(tmp_path: Path, kind: bytes) -> None:
    entry = tarfile.TarInfo("evil.txt")
    entry.type, entry.linkname = kind, "/etc/passwd"
    (tmp_path / "a.tar").write_bytes(tar_with(entry))
    assert texts(tmp_path / "a.tar") == {"good.txt": "good"}
    assert problems(tmp_path / "a.tar") == {"evil.txt": "not_a_file"}


def test_file_behind_a_link_is_never_written_through_it(tmp_path: Path) -> None:
    # The way past tarfile's own filter: a link out, then a member "in" the linked folder.
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("out.txt")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(link)
        file = tarfile.TarInfo("out.txt/evil.txt")
        file.size = 1
        archive.addfile(file, io.BytesIO(b"x"))
    (tmp_path / "a.tar").write_bytes(buffer.getvalue())
    assert texts(tmp_path / "a.tar") == {"out.txt/evil.txt": "x"}
    assert not (tmp_path / "evil.txt").exists()


def test_link_in_a_zip_is_a_problem(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("evil.txt")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    assert problems(tmp_path / "a.zip") == {"evil.txt": "not_a_file"}


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("小说/红楼梦.txt".encode("gbk"), "小说/红楼梦.txt"),
        ("小说/红楼梦.txt".encode(), "小说/红楼梦.txt"),
        ("grüße.txt".encode("cp437"), "grüße.txt"),
        (b"dir\\plain.txt", "dir/plain.txt"),
    ],
    ids=["Windows in China", "macOS", "DOS", "backslashes"],
)
def test_names_without_a_named_encoding_are_decoded(tmp_path: Path, raw: bytes, name: str) -> None:
    stand_in = "x" * (len(raw) - 4) + ".txt"
    path = pack_zip(tmp_path / "a.zip", {stand_in: b"text"})
    path.write_bytes(path.read_bytes().replace(stand_in.encode(), raw))
    assert texts(path) == {name: "text"}


FOREIGN_NAMES = {
    "gb18030": [
        "说明.txt", "红楼梦/薛宝钗.txt", "论语·学而.txt", "饕餮魑魅.txt", "囍.txt", "第1章 序.txt",
        "朱镕基.txt",
    ],
    "big5hkscs": [
        "說明.txt", "紅樓夢/林黛玉.txt", "聊齋誌異.txt", "臺北.txt", "第1章 序.txt", "饕餮.txt",
    ],
    "cp932": ["説明.txt", "テスト.txt", "新しいフォルダー/資料.txt", "羅生門.txt", "夏目漱石.txt"],
    "cp437": ["grüße.txt", "châteaux.txt", "Müller/Straße.txt", "déjà vu.txt"],
}  # fmt: skip


def with_raw_names(path: Path, names: list[bytes]) -> Path:
    """Return a zip archive with names that do not say their encoding."""
    stand_ins = [f"{number:03}".ljust(len(name), "x") for number, name in enumerate(names)]
    pack_zip(path, dict.fromkeys(stand_ins, b"text"))
    data = path.read_bytes()
    for stand_in, name in zip(stand_ins, names, strict=True):
        data = data.replace(stand_in.encode(), name)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("encoding", FOREIGN_NAMES)
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "without its list"])
def test_names_of_every_country_are_decoded_and_the_guess_is_said(
    tmp_path: Path, encoding: str, whole: bool
) -> None:
    names = [name.encode(encoding) for name in FOREIGN_NAMES[encoding]]
    path = with_raw_names(tmp_path / "a.zip", names)
    if not whole:
        path.write_bytes(path.read_bytes()[:-30])
    assert list(texts(path)) == FOREIGN_NAMES[encoding]
    assert set(notes(path)) == {"names_guessed"}


@pytest.mark.parametrize("encoding", FOREIGN_NAMES)
def test_names_in_a_tar_are_decoded_too(tmp_path: Path, encoding: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", encoding=encoding, format=tarfile.GNU_FORMAT) as tar:
        for name in FOREIGN_NAMES[encoding]:
            tar.addfile(tarfile.TarInfo(name))
    found = {item.member for item in read(tmp_path / "a.tar") if isinstance(item, SourceProblem)}
    assert found == set(FOREIGN_NAMES[encoding])
    assert set(notes(tmp_path / "a.tar")) == {"names_guessed"}


def test_names_in_utf8_are_no_guess(tmp_path: Path) -> None:
    path = with_raw_names(tmp_path / "a.zip", ["说明.txt".encode(), b"plain.txt"])
    assert list(texts(path)) == ["说明.txt", "plain.txt"]
    assert notes(path) == []


def test_name_cannot_forge_what_is_said(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "a.zip", {"a\n\u202egnp.txt": b"text"})
    assert list(texts(path)) == ["a\\n\\u202egnp.txt"]


# -- damage -------------------------------------------------------------------------------------


def noise(size: int) -> bytes:
    return bytes(random.Random(1).choices(b"abcdefghij \n", k=size))


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99], ids=str)
def test_compressed_file_cut_short_is_rejected_whole(
    tmp_path: Path, ending: str, share: float
) -> None:
    data = COMPRESS[ending](noise(40_000))
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(data[: int(len(data) * share)])
    assert code_of(path) == "compressed_cut_short"


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("data", [b"plain text", b"", b"\x1f"], ids=["text", "empty", "a byte"])
def test_file_that_only_claims_to_be_compressed_is_rejected(
    tmp_path: Path, ending: str, data: bytes
) -> None:
    (tmp_path / f"a.txt{ending}").write_bytes(data)
    assert code_of(tmp_path / f"a.txt{ending}") == "not_compressed"


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz"])
def test_changed_byte_in_compressed_text_is_noticed(tmp_path: Path, ending: str) -> None:
    data = bytearray(COMPRESS[ending](noise(40_000)))
    data[len(data) // 2] ^= 0x10
    (tmp_path / f"a.txt{ending}").write_bytes(data)
    assert code_of(tmp_path / f"a.txt{ending}") in ("compressed_damaged", "compressed_cut_short")


@pytest.mark.parametrize("ending", COMPRESS)
def test_streams_one_after_the_other_are_one_text(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(COMPRESS[ending](b"one ") + COMPRESS[ending](b"two") + b"\0" * 5000)
    assert texts(path) == {"": "one two"}
    assert notes(path) == []


@pytest.mark.parametrize("ending", COMPRESS)
def test_junk_after_compressed_text_is_left_alone_and_said(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(COMPRESS[ending](b"text") + b"junk" * 1000)
    assert texts(path) == {"": "text"}
    assert notes(path) == ["trailing_junk"]


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.bz2"])
def test_tar_cut_short_keeps_its_complete_members(tmp_path: Path, ending: str) -> None:
    files = {f"{number}.txt": noise(700_000)[number:] for number in range(3)}
    path = pack(tmp_path, ending, files)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    assert texts(path) == {"0.txt": files["0.txt"].decode()}
    expected = "member_cut_short" if ending == ".tar" else "compressed_cut_short"
    assert problems(path) == {"1.txt": expected}


@pytest.mark.parametrize("size", [512, 513, 700, 1024, 1536], ids=str)
def test_tar_is_never_cut_short_in_silence(tmp_path: Path, size: int) -> None:
    path = pack(tmp_path, ".tar", {"0.txt": b"x" * 512, "1.txt": b"y" * 512})
    path.write_bytes(path.read_bytes()[:size])
    assert problems(path) != {}


def test_damaged_header_of_a_tar_is_said(tmp_path: Path) -> None:
    path = pack(tmp_path, ".tar", {"0.txt": b"x" * 512, "1.txt": b"y" * 512, "2.txt": b"z"})
    data = bytearray(path.read_bytes())
    data[1024:1030] = b"broken"
    path.write_bytes(data)
    assert texts(path) == {"0.txt": "x" * 512}
    assert problems(path) == {"": "archive_damaged"}


def test_changed_byte_in_a_zip_is_a_problem_of_its_member(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:  # stored
        for name in ("1.txt", "2.txt"):
            archive.writestr(name, f"text of {name}")
    path.write_bytes(path.read_bytes().replace(b"text of 1", b"test of 1"))
    assert texts(path) == {"2.txt": "text of 2.txt"}
    assert problems(path) == {"1.txt": "member_damaged"}


class OneWay(io.BytesIO):
    """A file that cannot go back: what is written to a pipe or sent by a server."""

    def seekable(self) -> bool:
        return False

    def seek(self, *where: int) -> int:
        raise io.UnsupportedOperation

    def tell(self) -> int:
        raise io.UnsupportedOperation


@pytest.mark.parametrize("kind", [io.BytesIO, OneWay], ids=["written to a file", "sent"])
@pytest.mark.parametrize("share", [0.7, 0.999], ids=["in a member", "in the list"])
def test_zip_cut_short_keeps_its_complete_members(
    tmp_path: Path, kind: type[io.BytesIO], share: float
) -> None:
    files = {"a/": b"", "a/0.txt": noise(9000), "no.png": noise(5000), "1.txt": noise(30_000)}
    buffer = kind()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    path = tmp_path / "a.zip"
    path.write_bytes(buffer.getvalue()[: int(len(buffer.getvalue()) * share)])
    whole = ["a/0.txt"] if share == 0.7 else ["a/0.txt", "1.txt"]
    assert texts(path) == {name: files[name].decode() for name in whole}
    said = {"no.png": "ending_unknown", "": "archive_cut_short"}
    assert problems(path) == said | ({"1.txt": "member_cut_short"} if share == 0.7 else {})


def test_damaged_member_of_a_zip_cut_short_is_said(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "a.zip", {"0.txt": noise(5000), "1.txt": b"one", "2.txt": b"two"})
    data = bytearray(path.read_bytes()[:-30])
    data[2000] ^= 1
    path.write_bytes(data)
    assert texts(path) == {"1.txt": "one", "2.txt": "two"}
    assert problems(path) == {"0.txt": "member_damaged", "": "archive_cut_short"}


@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_file_that_only_claims_to_be_an_archive_is_rejected(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"a{ending}").write_bytes(b"just text " * 100)
    assert code_of(tmp_path / f"a{ending}") == "archive_damaged"


def test_tar_whose_compression_is_no_compression_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(tar_bytes({"a.txt": b"x"}))
    assert code_of(tmp_path / "a.tar.gz") == "not_compressed"


def test_encrypted_member_is_said(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "a.zip", {"a.txt": b"secret", "b.txt": b"open"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    assert texts(path) == {"b.txt": "open"}
    assert problems(path) == {"a.txt": "member_encrypted"}


@pytest.mark.parametrize("field", [28, 30, 32, 0], ids=["name", "extra", "comment", "mark"])
def test_zip_whose_list_is_damaged_is_read_without_it(tmp_path: Path, field: int) -> None:
    path = pack_zip(tmp_path / "a.zip", {f"{n}.txt": f"text {n}".encode() for n in range(3)})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + field + 1] += 1
    path.write_bytes(data)
    assert texts(path) == {f"{n}.txt": f"text {n}" for n in range(3)}
    assert problems(path) == {"": "archive_list_bad"}


def test_unknown_method_of_packing_is_said(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "a.zip", {"a.txt": b"x" * 100, "b.txt": b"open"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 10] = 9
    path.write_bytes(data)
    assert texts(path) == {"b.txt": "open"}
    assert problems(path) == {"a.txt": "compression_unknown"}


# -- bombs --------------------------------------------------------------------------------------


@contextmanager
def little_memory(most_bytes: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most_bytes
    finally:
        tracemalloc.stop()


SMALL = {"unpacked_ratio": 100.0, "ratio_free_bytes": 100_000}


@pytest.mark.parametrize("ending", [".zip", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst"])
def test_bomb_stops_where_it_may_unpack_no_further(tmp_path: Path, ending: str) -> None:
    files = {"a.txt": b"one", "bomb.txt": b"\n" * 20_000_000, "z.txt": b"never reached"}
    path = pack(tmp_path, ending, files)
    assert texts(path, **SMALL) == {"a.txt": "one"}
    assert problems(path, **SMALL) == {"bomb.txt": "unpacks_too_far"}


@pytest.mark.parametrize("ending", COMPRESS)
def test_compressed_bomb_is_rejected_in_little_memory(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(COMPRESS[ending](bytes(50_000_000)))
    with little_memory(60_000_000):
        assert code_of(path) == "unpacks_too_far"


def test_bomb_inside_archives_is_measured_against_the_outermost(tmp_path: Path) -> None:
    data = b"\n" * 5_000_000
    for name in ("a.txt", "b.zip", "c.zip"):
        data = pack_zip(tmp_path / "in.zip", {f"{n}{name}": data for n in range(6)}).read_bytes()
    limits = SMALL | {"ratio_free_bytes": 20_000_000}
    found = problems(tmp_path / "in.zip", **limits)
    assert list(found.items())[-1] == ("0c.zip/0b.zip/3a.txt", "unpacks_too_far")
    assert len(found) == 4  # the three before it are white space


def test_archive_of_too_many_members_is_refused_before_it_is_listed(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "a.zip", {f"{number}.txt": b"x" for number in range(30)})
    assert code_of(path, members=29) == "too_many_members"
    assert len(texts(path, members=30)) == 30


def test_zip_of_more_than_a_million_members_is_refused_in_bounded_time(tmp_path: Path) -> None:
    data = pack_zip(tmp_path / "a.zip", {"a": b""}).read_bytes()
    at, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    entries = data[at:end] * (10**6 + 1)
    size = struct.pack("<HHL", 0xFFFF, 0xFFFF, len(entries))
    path = tmp_path / "a.zip"
    path.write_bytes(data[:at] + entries + data[end : end + 8] + size + data[end + 16 :])
    started = time.monotonic()
    assert code_of(path) == "too_many_members"
    assert time.monotonic() - started < 20
    path.unlink()


def test_number_of_members_that_a_zip_claims_is_not_believed(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "a.zip", {f"{number}.txt": b"x" for number in range(30)})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\5\6")
    data[at + 8 : at + 12] = struct.pack("<HH", 1, 1)
    path.write_bytes(data)
    assert code_of(path, members=29) == "too_many_members"


def test_tar_of_too_many_members_keeps_the_first(tmp_path: Path) -> None:
    path = pack(tmp_path, ".tar", {f"{number}.txt": b"x" for number in range(30)})
    assert len(texts(path, members=20)) == 20
    assert problems(path, members=20) == {"": "too_many_members"}


@pytest.mark.parametrize(
    ("claim", "found"),
    [(3, {"a.txt": "member_damaged"}), (4_000_000_000, {})],
    ids=["too small", "too large"],
)
def test_size_that_a_zip_claims_is_not_believed(
    tmp_path: Path, claim: int, found: dict[str, str]
) -> None:
    path = pack_zip(tmp_path / "a.zip", {"a.txt": noise(5000), "b.txt": b"good"})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    data[at + 24 : at + 28] = struct.pack("<L", claim)
    path.write_bytes(data)
    # The checksum decides: too few bytes do not have it, and more than there are never come.
    assert problems(path) == found
    assert {name: len(text) for name, text in texts(path).items() if name not in found} == (
        {"b.txt": 4} if found else {"a.txt": 5000, "b.txt": 4}
    )


def test_zip_whose_members_overlap_is_refused(tmp_path: Path) -> None:
    """Two entries of the list that share one body, as the archives do that unpack to petabytes."""
    path = pack_zip(tmp_path / "a.zip", {"a.txt": b"x" * 100, "b.txt": b"x" * 100})
    data = bytearray(path.read_bytes())
    second = data.index(b"PK\1\2", data.index(b"PK\1\2") + 4)
    data[second + 42 : second + 46] = struct.pack("<L", 0)
    path.write_bytes(data)
    assert code_of(path) == "members_overlap"


def test_zip_that_holds_itself_ends(tmp_path: Path) -> None:
    """A quine: however often it is unpacked, there is the same archive inside."""
    path = tmp_path / "q.zip"
    inner = b""
    for _ in range(30):
        inner = pack_zip(path, {"q.zip": inner or b"PK"}).read_bytes()
    assert list(problems(path).values()) == ["nested_too_deep"]


def test_header_of_absurd_length_in_a_tar_is_refused(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("x")
    entry.type, entry.size = tarfile.XHDTYPE, 6_000_000_000
    (tmp_path / "a.tar").write_bytes(entry.tobuf() + b"1 x" * 1000)
    assert code_of(tmp_path / "a.tar") == "archive_damaged"


def test_holes_of_a_sparse_member_count_as_bytes(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("bomb.txt")
    entry.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0" % 0 + b"%011o\0" % 0
    header[483:495] = b"%011o\0" % 4_000_000_000
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(bytes(header) + bytes(1024)))
    assert problems(tmp_path / "a.tar.gz") == {"bomb.txt": "unpacks_too_far"}


def test_large_archive_is_read_in_little_memory(tmp_path: Path) -> None:
    path = pack(tmp_path, ".tar.gz", {f"{n}.txt": b"many words " * 90_000 for n in range(20)})
    with little_memory(10_000_000):
        for item in read_file(path, Reading(config=CollectConfig())):
            assert isinstance(item, SourceText)
            del item


# -- the same as a folder -----------------------------------------------------------------------

NAMES = st.text("abcdefg灯火é ", min_size=1, max_size=6).filter(str.strip)
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map(lambda parts: "/".join(parts) + ".txt"),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip),
    min_size=1,
    max_size=5,
)


@settings(max_examples=25, deadline=None)
@given(tree=TREES, ending=st.sampled_from(ARCHIVES))
def test_archive_gives_what_its_folder_gives(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, str], ending: str
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    found = {}
    for name, text in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())
        found |= {name: texts(folder / name)[""]}
    packed = pack(
        tmp_path_factory.mktemp("packed"), ending, {n: t.encode() for n, t in tree.items()}
    )
    assert texts(packed) == found
