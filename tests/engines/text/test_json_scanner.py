from __future__ import annotations

import json
import random

import pytest

from ominix.engines.text.json_scanner import DEEPEST, JsonScanner, NotJson

RIGHT = [
    '{"a": 1, "b": [true, false, null, -1.5e+3, "\\u00e9\\n\\""], "c": {"d": {}}, "e": []}',
    ' {\t"a"\n:\r1 } ',
    '{"":"}]{["}',
    "[0, 10, 0.1]",
]
WRONG = ["{1}", '{"a"}', '{"a":1,}', "[1,]", '{"a":01}', '{"a":tru}', '{"a":"\\x"}', "{'a':1}", "[1 2]", "]"]


def scanned(text: str) -> tuple[JsonScanner, str]:
    scanner = JsonScanner()
    return scanner, "".join(map(scanner.add, text))


@pytest.mark.parametrize("text", RIGHT)
def test_json_goes_through_as_it_is(text):
    scanner, written = scanned(text)
    assert written == text
    assert scanner.complete


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_json_is_refused_at_the_letter(text):
    with pytest.raises(ValueError):  # json agrees
        json.loads(text)
    with pytest.raises(NotJson):
        scanned(text)


def test_it_agrees_with_json_on_broken_texts():
    rng = random.Random(1)
    for _ in range(3000):
        letters = list(rng.choice(RIGHT))
        for _ in range(rng.randint(1, 3)):
            letters[rng.randrange(len(letters))] = rng.choice('{}[]:,"\\ 01eE.+-atn')
        text = "".join(letters)
        try:
            scanner, _ = scanned(text)
            is_json = scanner.complete
        except NotJson:
            is_json = False
        try:
            json.loads(text, strict=False)
        except ValueError:
            assert not is_json, text
        else:
            assert is_json or text.strip()[:1] not in ("{", "["), text


def test_line_breaks_in_strings_are_escaped():
    assert json.loads(scanned('{"a": "x\ny\tz\x01"}')[1]) == {"a": "x\ny\tz\x01"}


def test_the_path_says_where_a_letter_stands():
    scanner = JsonScanner()
    seen = {}
    for letter in '{"a": {"b": [5]}, "c": 7}':
        scanner.add(letter)
        if letter in "57":
            seen[letter] = list(scanner.path)
    assert seen == {"5": ["a", "b", ""], "7": ["c"]}


@pytest.mark.parametrize(
    ("text", "missing"),
    [('{"a": [{"b": "x"', "}]}"), ("{", "}"), ('{"a"', ""), ('{"a": "x', ""), ('{"a":', "")],
)
def test_only_brackets_can_be_missing(text, missing):
    assert scanned(text)[0].missing == missing


def test_depth_has_a_bound():
    with pytest.raises(NotJson):
        scanned("[" * (DEEPEST + 1))
