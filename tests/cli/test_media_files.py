from __future__ import annotations

import os
from pathlib import Path

import pytest

from ominix.cli import recordings

ENDINGS = """
    wav mp3 m4a mp4 flac ogg opus oga webm aac aiff aif caf mov mkv amr wma wmv avi 3gp m4b mka m4v mp2 ac3
    eac3 dts ape wv tta mpc dsf dff flv f4v ogv mpg mpeg vob m2v mxf asf spx au w64 sph voc gsm awb WAV Mp3
"""
PACKET = b"\x47" + bytes(187)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deeper" / "still").mkdir(parents=True)
    return tmp_path


def names(found: list[Path], folder: Path) -> list[str]:
    return [str(file.relative_to(folder)) for file in found]


def test_every_ending_of_audio_or_video_is_found_in_folders_within_folders(folder):
    for number, ending in enumerate(ENDINGS.split()):
        place = (folder, folder / "deeper", folder / "deeper" / "still")[number % 3]
        (place / f"x.{ending}").write_bytes(b".snd" if ending == "au" else b"x")
    (folder / "notes.txt").write_text("x")
    found = recordings.find([folder])
    assert sorted(file.suffix for file in found.files) == sorted(f".{ending}" for ending in ENDINGS.split())
    assert names(found.skipped, folder) == ["notes.txt"]


@pytest.mark.parametrize(
    ("name", "content", "is_media"),
    [
        ("code.ts", b"export const x = 1;\n", False),
        ("film.ts", PACKET * 8, True),
        ("torn.ts", bytes(100) + PACKET * 8, True),
        ("camera.mts", (bytes(4) + PACKET) * 8, True),
        ("code.mts", b"import x\n", False),
        ("plan.mpp", b"\xd0\xcf\x11\xe0", False),
        ("voice", b"OggS" + bytes(20), True),
        ("memo.bin", b"RIFF\x00\x00\x00\x00WAVEfmt ", True),
        ("clip.dat", b"\x00\x00\x01\xba" + bytes(20), True),
        ("phone", bytes(4) + b"ftypM4A ", True),
        ("words", b"hello", False),
        ("empty", b"", False),
    ],
)
def test_where_the_name_does_not_say_it_the_first_bytes_do(folder, name, content, is_media):
    (folder / name).write_bytes(content)
    found = recordings.find([folder])
    assert (names(found.files, folder), names(found.skipped, folder)) == (
        ([name], []) if is_media else ([], [name])
    )


def test_hidden_files_are_left_out_unless_they_are_named(folder):
    (folder / "._a.mp3").write_bytes(b"x")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "b.mp3").write_bytes(b"x")
    found = recordings.find([folder])
    assert (found.files, found.skipped, found.hidden) == ([], [], 1)
    assert recordings.find([folder / "._a.mp3"]).files == [folder / "._a.mp3"]


def test_pipes_are_not_waited_for_and_circles_end(folder):
    os.mkfifo(folder / "pipe.wav")
    (folder / "deeper" / "back").symlink_to(folder)
    (folder / "gone.wav").symlink_to(folder / "nowhere")
    (folder / "a.wav").write_bytes(b"x")
    found = recordings.find([folder])
    assert names(found.files, folder) == ["a.wav"]
    assert names(found.skipped, folder) == ["pipe.wav"]


def test_a_file_that_is_met_twice_is_done_once(folder):
    (folder / "a.wav").write_bytes(b"x")
    (folder / "b.wav").symlink_to(folder / "a.wav")
    assert recordings.find([folder / "a.wav", folder, folder / "a.wav"]).files == [folder / "a.wav"]


def test_what_is_named_is_taken_whatever_it_is(folder):
    given = [folder / "notes.txt", Path("-"), folder / "not there"]
    assert recordings.find(given).files == given


def test_a_folder_that_cannot_be_looked_into_is_told(folder, monkeypatch):
    def refused(path: object) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refused)  # the tests may run as root, whom no folder refuses
    found = recordings.find([folder])
    assert [error.filename for error in found.unreadable] == [str(folder)]
