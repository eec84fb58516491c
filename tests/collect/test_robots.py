"""robots.txt: the examples of RFC 9309, and what servers really write."""

from __future__ import annotations

import time

import pytest

from memlm.collect.robots import FORBIDS_ALL, Robots, read_robots


def allows(robots: str | bytes, path: str) -> bool:
    body = robots.encode() if isinstance(robots, str) else robots
    return read_robots(body, "memlm").allows(f"http://a.org{path}")


@pytest.mark.parametrize(
    ("rules", "path", "allowed"),
    [
        ("Disallow: /private", "/private/a", False),
        ("Disallow: /private", "/privately", False),
        ("Disallow: /private/", "/private", True),
        ("Disallow: /private", "/Private", True),
        ("Disallow: /", "/", False),
        ("Disallow:", "/a", True),
        ("Disallow: *.pdf", "/deep/a.pdf", False),
        ("Disallow: /*.pdf$", "/a.pdf", False),
        ("Disallow: /*.pdf$", "/a.pdf?page=2", True),
        ("Disallow: /*.pdf$", "/a.pdf.html", True),
        ("Disallow: /a*c*e", "/abcde", False),
        ("Disallow: /a*c*e", "/aecb", True),
        ("Disallow: /*a$", "/", True),
        ("Disallow: /a*a$", "/a", True),
        ("Disallow: /$", "/", False),
        ("Disallow: /$", "/a", True),
        ("Disallow: /*?*session=", "/a?b=1&session=2", False),
        ("Disallow: /\nAllow: /open", "/open/a", True),
        ("Allow: /open\nDisallow: /", "/closed", False),
        ("Allow: /\nDisallow: /private", "/private", False),
        ("Disallow: /same\nAllow: /same", "/same", True),
        ("Allow: /example/page/\nDisallow: /example/page/disallowed.gif",
         "/example/page/disallowed.gif", False),
        ("Disallow: /灯", "/%E7%81%AF", False),
        ("Disallow: /%e7%81%af", "/%E7%81%AF/a", False),
        ("Disallow: /%62ar", "/bar", False),
        ("Disallow: /a%2Fb", "/a/b", True),
        ("Disallow: /a # not for you", "/a", False),
        ("DISALLOW : /a", "/a", False),
        ("nonsense\nDisallow: /a", "/a", False),
    ],
    ids=lambda value: str(value).replace("\n", " "),
)  # fmt: skip
def test_longest_rule_that_fits_decides(rules: str, path: str, allowed: bool) -> None:
    assert allows(f"User-agent: *\n{rules}\n", path) is allowed


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"], ids=["Unix", "Windows", "old Macintosh"])
def test_byte_order_mark_and_line_ends_do_not_matter(line_end: str) -> None:
    lines = line_end.join(["User-agent: *", "Disallow: /a"])
    assert not allows(b"\xef\xbb\xbf" + lines.encode(), "/a")


TWO_GROUPS = "User-agent: *\nDisallow: /all\n\nUser-agent: {}\nDisallow: /us\n"


@pytest.mark.parametrize("name", ["memlm", "MemLM", "memlm/9.0", "other\nUser-agent: memlm"])
def test_group_that_names_us_counts_alone(name: str) -> None:
    robots = TWO_GROUPS.format(name)
    assert (allows(robots, "/all"), allows(robots, "/us")) == (True, False)


@pytest.mark.parametrize("name", ["memlmbot", "mem", "lm", "other"])
def test_group_of_another_does_not_count(name: str) -> None:
    robots = TWO_GROUPS.format(name)
    assert (allows(robots, "/all"), allows(robots, "/us")) == (False, True)


def test_groups_of_one_name_are_one() -> None:
    robots = "User-agent: memlm\nDisallow: /a\nUser-agent: x\nDisallow: /\n"
    robots += "User-agent: memlm\nDisallow: /b\n"
    assert [allows(robots, path) for path in ("/a", "/b", "/c")] == [False, False, True]


def test_line_of_another_kind_ends_no_list_of_names() -> None:
    robots = "User-agent: memlm\nSitemap: http://a.org/s.xml\nUser-agent: x\nDisallow: /a\n"
    assert not allows(robots, "/a")


def test_group_that_names_us_without_a_rule_allows_all() -> None:
    assert allows("User-agent: *\nDisallow: /\nUser-agent: memlm\n", "/a")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("5", 5.0), ("0.5", 0.5), ("-1", 0.0), ("nan", 0.0), ("inf", 0.0), ("soon", 0.0)],
)
def test_delay_is_a_number_of_seconds(value: str, seconds: float) -> None:
    body = f"User-agent: *\nCrawl-delay: {value}\n".encode()
    assert read_robots(body, "memlm").crawl_delay == seconds


@pytest.mark.parametrize("body", [b"", b"\0\xff" * 99, b"<html>nothing here</html>"])
def test_what_is_no_robots_forbids_nothing(body: bytes) -> None:
    assert read_robots(body, "memlm") == Robots()
    assert not FORBIDS_ALL.allows("http://a.org/a")


def test_pattern_of_many_stars_takes_no_time() -> None:
    started = time.perf_counter()
    assert allows(f"User-agent: *\nDisallow: /{'*a' * 2000}b$\n", "/" + "a" * 20_000)
    assert time.perf_counter() - started < 1
