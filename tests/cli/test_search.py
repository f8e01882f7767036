from __future__ import annotations

import pytest

from ominix.__main__ import main


def search(tmp_path, *argv: str, **environ: str) -> int:
    return main(["--home", str(tmp_path), "search", *argv], environ)


def test_the_hub_is_asked_and_known_names_come_first(hub, tmp_path, capsys):
    for name in ("mlx-community/Whisper-Base-4bit", "mlx-community/Qwen3-4B-4bit"):
        hub.add(name, {})
    assert search(tmp_path, "whisper", "base", HF_ENDPOINT=hub.url) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[1:] == ["mlx-community/Whisper-Base-4bit  chat  1,234"]
    assert "known here: whisper-base (openai/whisper-base)" in said.err
    assert search(tmp_path, "nothing-like-it", HF_ENDPOINT=hub.url) == 0
    assert "nothing found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        (
            {"HF_ENDPOINT": "http://127.0.0.1:9"},
            "(ConnectError). Behind a proxy set HTTPS_PROXY",
        ),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        ({"HF_ENDPOINT": "nonsense"}, "cannot be reached"),
    ],
)
def test_without_a_network_what_helps_is_said(tmp_path, capsys, environ, reason):
    assert search(tmp_path, "whisper", **environ) == 1
    assert reason in capsys.readouterr().err
