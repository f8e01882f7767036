"""A table of formats: container, codec, channels, start of the sound; made by ffmpeg, heard by a server.

    ominix serve --port 8000 &
    python -m tools.format_corpus --url http://127.0.0.1:8000 > docs/formats.md

It needs an ffmpeg program, which only this tool uses. The recording says one phrase twice in 6.8 s; the
built-in model tiny-asr writes it down. Columns: the duration in the answer less ffprobe's, and how many of
the ten words are heard.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import subprocess
import tempfile
from pathlib import Path

import httpx

SPOKEN = Path(__file__).parents[1] / "tests" / "data" / "cases" / "opposite-phase.flac"  # its left channel
PHRASE = ["thanks", "off", "stop", "green", "next"] * 2
ROWS = """
wav pcm_s16le; wav pcm_alaw; wav adpcm_ima_wav; wav adpcm_ms; wav g726 -ar 8000; wav g722 -ar 16000
wav g723_1 -ar 8000 -b:a 6300; wav ac3; w64 pcm_s24le; aiff pcm_s16be; au pcm_mulaw; caf alac; voc pcm_s16le
flac flac; mp3 libmp3lame; mp2 mp2; adts aac; latm aac; ac3 ac3; eac3 eac3; dts dca -strict -2
truehd truehd -strict -2; mlp mlp -strict -2; wv wavpack; tta tta; sox pcm_s32le; gsm libgsm -ar 8000
ogg libvorbis; ogg libopus; ogg flac; ogg libspeex -ar 16000; ipod aac; ipod alac; mp4 libopus; mp4 ac3
mp4 libmp3lame; mov pcm_s16le; matroska aac; matroska ac3; matroska eac3; matroska dca -strict -2
matroska truehd -strict -2; matroska flac; matroska libopus; matroska pcm_s24le; webm libopus; webm libvorbis
mpegts aac; mpegts mp2; mpegts ac3; mpegts dca -strict -2; mpegts libopus; vob ac3; mpeg mp2; avi libmp3lame
avi pcm_s16le; flv aac; flv libmp3lame -ar 44100; asf wmav2; asf wmav1; rm ac3; nut pcm_s16le; wtv mp2
"""
LAYOUTS = {"stereo": "stereo|c0=c0|c1=c0", "opposite": "stereo|c0=c0|c1=-1*c0", "5.1": "5.1|c2=c0"}
MANY = ("wav pcm_s16le", "flac flac", "ogg libopus", "ipod aac", "matroska ac3", "mpegts ac3")
LATE = ("mp4 libmp3lame", "ipod aac", "mov pcm_s16le", "matroska aac", "webm libopus", "mpegts aac")


def made(folder: Path, row: str, layout: str, late_seconds: float) -> Path | None:
    """The file; None if this ffmpeg cannot make it."""
    container, codec, *options = row.split()
    path = folder / "recording"
    picture = ["-f", "lavfi", "-i", f"testsrc2=s=64x64:r=25:d={late_seconds + 6.8}"] if late_seconds else []
    video = "libvpx" if container == "webm" else "mpeg4"
    container = "mp4" if late_seconds and container == "ipod" else container
    command = [
        *["ffmpeg", "-v", "error", "-y", *picture, "-itsoffset", str(late_seconds), "-i", str(SPOKEN)],
        *["-af", f"aresample=48000,pan={LAYOUTS.get(layout, 'mono|c0=c0')}", "-c:a", codec, *options],
        *(["-map", "0:v", "-map", "1:a", "-c:v", video] if late_seconds else []),
        *["-f", container, str(path)],
    ]
    return path if subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0 else None


def probed(path: Path) -> float | None:
    asked = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(path)]
    text = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    return float(text) if text.replace(".", "", 1).isdigit() else None


def heard_words(text: str) -> int:
    """The longest common subsequence with the phrase."""
    row = [0] * (len(PHRASE) + 1)
    for word in text.split():
        before = row[:]
        for i, wanted in enumerate(PHRASE):
            row[i + 1] = max(row[i], before[i + 1], before[i] + (wanted == word))
    return row[-1]


def answered(url: str, path: Path) -> str:
    """The last columns of a row."""
    response = httpx.post(
        f"{url}/v1/audio/transcriptions",
        data={"model": "tiny-asr", "response_format": "verbose_json"},
        files={"file": ("audio", path.read_bytes())},
        timeout=120,
    )
    body = response.json()
    if response.status_code != 200:
        return f"| | {body['error']['message']} |"
    duration = probed(path)
    error = "" if duration is None else f"{body['duration'] - duration:+.3f} s"
    return f"| {error} | {heard_words(body['text'])} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    url = parser.parse_args().url
    rows = [row.strip() for row in ROWS.replace("\n", ";").split(";") if row.strip()]
    work = [(row, "mono", 0.0) for row in rows]
    work += [(row, layout, 0.0) for row in MANY for layout in LAYOUTS]
    work += [(row, "mono", 4.9) for row in LATE]
    print("# Formats, as they are heard\n")
    machine = f"{platform.system()} on {platform.machine()}"
    print(f"{datetime.date.today()}, {machine}: `python -m tools.format_corpus`.")
    print("Each file says ten words in 6.8 s. The error is the answer's duration less that of ffprobe.\n")
    print("| container and codec | channels | sound begins at | duration error | words of ten |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for row, layout, late_seconds in work:
            path = made(Path(folder), row, layout, late_seconds)
            if path:
                print(f"| {row} | {layout} | {late_seconds:g} s {answered(url, path)}", flush=True)


if __name__ == "__main__":
    main()
