"""The template child, really started: what a template does to it costs one request."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from ominix.errors import JobRefused
from ominix.templates.renderer import Renderer

MAX_CHARS = 100_000


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    made = Renderer()
    yield made
    made.close()


def works(renderer: Renderer) -> bool:
    return renderer.render("{{ a.b }}", {"a": {"b": "x"}}, MAX_CHARS) == "x"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ 'a' * 2000000000 }}", "256 MiB of memory"),
        ("{{ [0] * 10**10 }}", "256 MiB of memory"),
        ("{{ '%99999999999d' % 1 }}", "256 MiB of memory"),
        ("{% for i in range(10**12) %}{% endfor %}", "OverflowError"),
        ("{% for i in range(99999) %}" + "a" * 40 + "{% endfor %}", "more than 100000 characters"),
        ("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "RecursionError"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "RecursionError"),
        ("{{ 1 // 0 }}", "ZeroDivisionError"),
        ("{% for %}", "Expected an expression"),
        ("{{ a.b.c }}", "'a' is undefined"),
        ("{% include 'x' %}", "TypeError: no loader"),
        ("{{ raise_exception('roles must alternate') }}", "^roles must alternate$"),
        pytest.param("{{ 7**(10**9) }}", "1 s of the processor", marks=pytest.mark.slow),
        pytest.param(
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
            "1 s of the processor",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_template_that_takes_too_much_or_is_broken_says_why_and_the_next_one_works(
    renderer, template, reason
):
    with pytest.raises(JobRefused, match=reason):
        renderer.render(template, {}, MAX_CHARS)
    assert works(renderer)


def test_a_child_that_has_died_meanwhile_is_replaced():
    before = set(psutil.Process().children())
    renderer = Renderer()
    assert works(renderer)
    (child,) = set(psutil.Process().children()) - before
    child.kill()
    child.wait(5)
    assert works(renderer)
    renderer.close()


def test_a_child_that_does_not_answer_is_given_up():
    renderer = Renderer(wait_seconds=0.3)
    before = {p.pid for p in psutil.Process().children()}
    renderer.start()
    (pid,) = {p.pid for p in psutil.Process().children()} - before
    os.kill(pid, signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(JobRefused, match=r"longer than 0\.3 s"):
        renderer.render("x", {}, MAX_CHARS)
    assert time.monotonic() - begun < 5
    renderer.close()
    assert not psutil.pid_exists(pid)
