"""Names in archives that do not say their encoding: which one is it?"""

from __future__ import annotations

import pytest

from memlm.collect.member_names import encoding_of_names

GBK = [
    "小说/红楼梦.txt", "龙", "新建文件夹/说明.txt", "囍.txt", "第1章 序言.txt", "A股.txt",
    "朱镕基传.txt", "論語.txt", "论语·学而.txt", "★重要×①.txt", "饕餮.txt", "《三国演义》.txt",
    "魑魅魍魉.txt", "财务报表2023.xls", "照片/北京.jpg",
]  # fmt: skip
BIG5 = [
    "紅樓夢.txt", "新增資料夾/檔案.txt", "三國演義.txt", "台灣歷史.txt", "第1章 序言.txt", "中",
    "一", "聊齋誌異.txt", "財務報表.xls",
]  # fmt: skip
JAPANESE = [
    "テスト.txt", "日本語.txt", "新しいフォルダー/説明.txt", "夏目漱石/坊っちゃん.txt", "東京",
    "青空文庫.txt", "走れメロス.txt", "羅生門.txt", "雪国.txt",
]  # fmt: skip
WESTERN = [
    "grüße.txt", "châteaux.txt", "été.txt", "Über.txt", "niño.txt", "Müller/Straße.txt", "Åse.txt",
    "déjà vu.txt", "½.txt",
]  # fmt: skip
ALL = [("gb18030", GBK), ("big5hkscs", BIG5), ("cp932", JAPANESE), ("cp437", WESTERN)]


@pytest.mark.parametrize(
    ("encoding", "name"), [(encoding, name) for encoding, names in ALL for name in names]
)
def test_single_name_is_known_by_its_letters(encoding: str, name: str) -> None:
    assert encoding_of_names([name.encode(encoding)]) == encoding


@pytest.mark.parametrize(("encoding", "names"), ALL, ids=[encoding for encoding, _ in ALL])
def test_names_are_judged_together(encoding: str, names: list[str]) -> None:
    assert encoding_of_names([b"plain.txt", *(name.encode(encoding) for name in names)]) == encoding


def test_name_that_alone_would_be_taken_for_western_is_known_among_others() -> None:
    alone, others = "テA.txt".encode("cp932"), ["資料.txt".encode("cp932"), b"b.txt"]
    assert encoding_of_names([alone]) == "cp437"
    assert encoding_of_names([alone, *others]) == "cp932"


@pytest.mark.parametrize("names", [[], [b"plain.txt"], ["灯.txt".encode()]], ids=repr)
def test_utf8_is_utf8(names: list[bytes]) -> None:
    assert encoding_of_names(names) == "utf-8"


def test_any_bytes_are_a_name_in_some_encoding() -> None:
    assert encoding_of_names([bytes([byte]) for byte in range(256)]) == "cp437"
