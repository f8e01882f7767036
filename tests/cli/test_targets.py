from __future__ import annotations

from pathlib import Path

import pytest

from ominix.cli.targets import targets
from ominix.errors import Conflict


def chosen(tmp_path: Path, *recordings: str, out: bool = True) -> list[str]:
    paths = [tmp_path / name for name in recordings]
    folder = tmp_path / "out" if out else None
    return [
        str(t.path.relative_to(folder or tmp_path)) for t in targets(paths, ".txt", folder, overwrite=False)
    ]


def test_a_name_that_is_alone_loses_its_ending(tmp_path):
    assert chosen(tmp_path, "a.wav", "b.mp3") == ["a.txt", "b.txt"]


def test_equal_names_get_their_ending_then_their_folders(tmp_path):
    names = chosen(tmp_path, "monday/rec.wav", "tuesday/rec.wav", "tuesday/rec.flac", "other.wav")
    assert names == ["monday-rec.wav.txt", "tuesday-rec.wav.txt", "rec.flac.txt", "other.txt"]


def test_as_many_folders_as_it_takes(tmp_path):
    assert chosen(tmp_path, "x/day/rec.wav", "y/day/rec.wav") == ["x-day-rec.wav.txt", "y-day-rec.wav.txt"]


@pytest.mark.parametrize(
    "names",
    [
        ("Rec.wav", "rec.wav", "REC.wav"),  # one file on many disks
        ("caf\u00e9.wav", "cafe\u0301.wav"),
        ("rec.wav", "rec.wav.mp3", "rec.mp3"),
        ("a/b.wav", "a-b.wav", "c/a-b.wav", "b.wav"),
        ("-", "stdin.wav", "stdin.mp3"),
    ],
)
def test_no_two_are_one_whatever_the_disk_tells_apart(tmp_path, names):
    paths = [Path(name) if name == "-" else tmp_path / name for name in names]
    found = [
        t.path.name.replace("\u00e9", "e\u0301").casefold()
        for t in targets(paths, ".srt", tmp_path, overwrite=False)
    ]
    assert len(set(found)) == len(names)


def test_beside_their_recordings_equal_names_of_several_folders_are_no_trouble(tmp_path):
    names = chosen(tmp_path, "monday/rec.wav", "tuesday/rec.wav", "tuesday/rec.flac", out=False)
    assert names == ["monday/rec.txt", "tuesday/rec.wav.txt", "tuesday/rec.flac.txt"]


def test_what_is_there_stays_unless_overwriting_is_asked_for(tmp_path):
    recording = tmp_path / "a.wav"
    (tmp_path / "a.txt").write_text("mine")
    (target,) = targets([recording], ".txt", None, overwrite=False)
    with pytest.raises(Conflict, match=r"a\.txt is there already; --overwrite replaces it"):
        target.check([recording])
    with pytest.raises(FileExistsError):  # it has come while the work was done
        target.write("new")
    assert (tmp_path / "a.txt").read_text() == "mine"
    (target,) = targets([recording], ".txt", None, overwrite=True)
    target.check([recording])
    target.write("new")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_a_recording_is_never_overwritten(tmp_path):
    recording = tmp_path / "speech.txt"
    recording.write_bytes(b"x")
    (target,) = targets([recording], ".txt", None, overwrite=True)
    with pytest.raises(Conflict, match="is a recording itself"):
        target.check([recording])


def test_a_link_that_leads_nowhere_is_not_written_through(tmp_path):
    (tmp_path / "a.txt").symlink_to(tmp_path / "elsewhere")
    (target,) = targets([tmp_path / "a.wav"], ".txt", None, overwrite=True)
    with pytest.raises(Conflict):
        target.check([])
