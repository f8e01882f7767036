from __future__ import annotations

from ominix.__main__ import main
from ominix.families.table import FAMILIES


def test_every_short_name_is_listed_with_what_it_can_do(tmp_path, capsys):
    here = tmp_path / "models" / "whisper-base"
    here.mkdir(parents=True)
    (here / "config.json").write_text("{}")
    assert main(["--home", str(tmp_path), "models"], {"OMINIX_ALIAS": "mine=owner/mine"}) == 0
    text = capsys.readouterr().out
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line}
    for family in FAMILIES:
        for name in family.aliases:
            assert lines[name][1 : 1 + len(family.abilities)] == sorted(family.abilities)
    assert lines["whisper-base"][-4:] == ["0.29", "GB", "many", "yes"]
    assert lines["whisper-tiny"][-1] == lines["mine"][-1] == "-"
    assert max(map(len, text.splitlines())) <= 80
    assert "ominix pull NAME" in text


def test_each_family_tells_the_size_of_each_of_its_downloads():
    for family in FAMILIES:
        assert family.download_gb.keys() == family.aliases.keys()
