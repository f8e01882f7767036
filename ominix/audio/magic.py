"""Kinds of files by the bytes at fixed places near their beginning, and the FFmpeg demuxer for each.

A demuxer is on this list only if it reads the bytes that it is given and nothing else: none of them opens
what a file refers to.
"""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    name: str  # for the person: "a WAV file"
    demuxer: str  # FFmpeg's name
    start: int = 0  # bytes before the audio: an ID3 tag, the torn frame of a cut stream


class Magic(NamedTuple):
    offset: int
    magic: bytes
    name: str
    demuxer: str


_MP4_BOXES = b"ftyp styp moov moof mdat wide free skip sidx pnot uuid emsg prft".split()

ROWS = (
    Magic(8, b"WAVE", "a WAV file", "wav"),
    Magic(0, b"riff\x2e\x91\xcf\x11", "a Wave64 file", "w64"),
    Magic(8, b"XWMA", "an xWMA file", "xwma"),
    Magic(8, b"QLCM", "a QCP file", "qcp"),
    Magic(8, b"AVI ", "an AVI file", "avi"),
    Magic(8, b"AVIX", "an AVI file", "avi"),
    Magic(8, b"AMV ", "an AMV file", "avi"),
    Magic(8, b"AIFF", "an AIFF file", "aiff"),
    Magic(8, b"AIFC", "an AIFF file", "aiff"),
    Magic(8, b"8SVX", "an IFF file", "iff"),
    Magic(8, b"16SV", "an IFF file", "iff"),
    Magic(8, b"MAUD", "an IFF file", "iff"),
    Magic(0, b"FRM8", "a DSDIFF file", "iff"),
    Magic(0, b"DSD ", "a DSF file", "dsf"),
    Magic(0, b".snd", "an AU file", "au"),
    Magic(0, b"fLaC", "a FLAC file", "flac"),
    Magic(0, b"OggS", "an Ogg file", "ogg"),
    Magic(0, b"\x1aE\xdf\xa3", "a WebM or Matroska file", "matroska"),
    *(Magic(4, b, "an MP4 file" if b[1:] == b"typ" else "a QuickTime file", "mov") for b in _MP4_BOXES),
    Magic(0, b"caff", "a CAF file", "caf"),
    Magic(0, b"#!AMR", "an AMR file", "amr"),
    Magic(0, b"#!iLBC", "an iLBC file", "ilbc"),
    Magic(0, b"FLV\x01", "a Flash video", "flv"),
    Magic(0, b"FWS", "a Flash film", "swf"),
    Magic(0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media file", "asf"),
    Magic(0, b"\xb7\xd8\x00\x20\x37\x49\xda\x11", "a Windows television recording", "wtv"),
    Magic(0, b".RMF", "a RealMedia file", "rm"),
    Magic(0, b".ra\xfd", "a RealAudio file", "rm"),
    Magic(0, b"\x00\x00\x01\xba", "an MPEG program stream", "mpeg"),
    Magic(0, b"\x00\x00\x00\x00\x01\xbc", "a GXF file", "gxf"),
    Magic(0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02", "an MXF file", "mxf"),
    Magic(0, b"nut/multimedia container\0", "a NUT file", "nut"),
    Magic(0, b"NSVf", "a Nullsoft video", "nsv"),
    Magic(0, b"NSVs", "a Nullsoft video", "nsv"),
    Magic(0, b"\x1f\x07\x00", "a DV tape", "dv"),
    Magic(0, b"SMK2", "a Smacker video", "smk"),
    Magic(0, b"SMK4", "a Smacker video", "smk"),
    Magic(0, b"BIKi", "a Bink video", "bink"),
    Magic(0, b"BIKf", "a Bink video", "bink"),
    Magic(0, b"wvpk", "a WavPack file", "wv"),
    Magic(0, b"MAC ", "a Monkey's Audio file", "ape"),
    Magic(0, b"TTA1", "a True Audio file", "tta"),
    Magic(0, b"MP+", "a Musepack file", "mpc"),
    Magic(0, b"MPCK", "a Musepack file", "mpc8"),
    Magic(0, b"tBaK", "a TAK file", "tak"),
    Magic(0, b"ajkg", "a Shorten file", "shn"),
    Magic(0, b"qoaf", "a QOA file", "qoa"),
    Magic(0, b"TWIN97012000", "a VQF file", "vqf"),
    Magic(0, b"EA3", "an OMA file", "oma"),
    Magic(0, b"ea3", "an OMA file", "oma"),
    Magic(0, b"DTSHDHDR", "a DTS-HD file", "dtshd"),
    Magic(0, b"Creative Voice File\x1a", "a VOC file", "voc"),
    Magic(0, b"NIST_1A", "a SPHERE file", "nistsphere"),
    Magic(0, b".SoX", "a SoX file", "sox"),
    Magic(0, b"XoS.", "a SoX file", "sox"),
    Magic(0, b"PVF1\n", "a PVF file", "pvf"),
    Magic(0, b"2BIT", "an AVR file", "avr"),
    Magic(0, b"\x64\xa3\x01\x00", "an IRCAM file", "ircam"),
    Magic(0, b"\x64\xa3\x02\x00", "an IRCAM file", "ircam"),
    Magic(0, b"\x64\xa3\x03\x00", "an IRCAM file", "ircam"),
    Magic(0, b"\x00\x01\xa3\x64", "an IRCAM file", "ircam"),
    Magic(0, b"\x00\x02\xa3\x64", "an IRCAM file", "ircam"),
    Magic(0, b"\x00\x03\xa3\x64", "an IRCAM file", "ircam"),
    Magic(0, b"MMMD", "an SMAF file", "mmf"),
    Magic(0, b"\x02dss", "an Olympus dictation (DSS)", "dss"),
    Magic(0, b"\x03dss", "an Olympus dictation (DSS)", "dss"),
)


def find(head: bytes) -> Kind | None:
    found = (Kind(row.name, row.demuxer) for row in ROWS if head.startswith(row.magic, row.offset))
    return next(found, None)
