"""The languages of the speech models: English names as the models were trained with, and their ISO codes."""

from __future__ import annotations

LANGUAGES: dict[str, tuple[str, ...]] = {  # the first code is the one to show; then ISO 639-2 and 639-3
    "Arabic": ("ar", "ara", "arb"),
    "Cantonese": ("yue", "zh-yue"),
    "Chinese": ("zh", "zho", "chi", "cmn"),
    "Czech": ("cs", "ces", "cze"),
    "Danish": ("da", "dan"),
    "Dutch": ("nl", "nld", "dut"),
    "English": ("en", "eng"),
    "Filipino": ("fil", "tl", "tgl"),
    "Finnish": ("fi", "fin"),
    "French": ("fr", "fra", "fre"),
    "German": ("de", "deu", "ger"),
    "Greek": ("el", "ell", "gre"),
    "Hindi": ("hi", "hin"),
    "Hungarian": ("hu", "hun"),
    "Indonesian": ("id", "ind"),
    "Italian": ("it", "ita"),
    "Japanese": ("ja", "jpn"),
    "Korean": ("ko", "kor"),
    "Macedonian": ("mk", "mkd", "mac"),
    "Malay": ("ms", "msa", "may", "zsm"),
    "Persian": ("fa", "fas", "per", "pes"),
    "Polish": ("pl", "pol"),
    "Portuguese": ("pt", "por"),
    "Romanian": ("ro", "ron", "rum"),
    "Russian": ("ru", "rus"),
    "Spanish": ("es", "spa"),
    "Swedish": ("sv", "swe"),
    "Thai": ("th", "tha"),
    "Turkish": ("tr", "tur"),
    "Vietnamese": ("vi", "vie"),
}


def find(text: str) -> str | None:
    """The English name for a name or code in any case: "chinese", "ZH", "zh-CN". None: unknown."""
    wanted = text.strip().lower().replace("_", "-")
    for tag in (wanted, wanted.split("-")[0]):  # the whole first: zh-yue is not Chinese
        for name, codes in LANGUAGES.items():
            if tag == name.lower() or tag in codes:
                return name
    return None
