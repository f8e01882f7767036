"""The models of the scripted engine, which obeys its prompt: for tests and contract runs alone."""

from __future__ import annotations

from ominix.families.family import Family

CHAT = Family(frozenset({"chat"}), frozenset({"scripted"}), engine="scripted")
SPEECH = Family(frozenset({"transcribe"}), engine="scripted")
ALIGNER = Family(frozenset({"align"}), engine="scripted")

FAMILIES = (CHAT, SPEECH, ALIGNER)
# Id -> family, folder. One of them cannot be loaded.
MODELS = {
    "scripted": (CHAT, ""),
    "scripted-2": (CHAT, ""),
    "scripted-broken": (CHAT, "broken"),
    "scripted-speech": (SPEECH, ""),
    "scripted-aligner": (ALIGNER, ""),
}
