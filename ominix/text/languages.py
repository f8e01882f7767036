"""The languages of all speech models: English names as the models were trained with, and their ISO codes."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from ominix.text.language_names import OTHER_NAMES, UNSPOKEN

LANGUAGES: dict[str, tuple[str, ...]] = {  # the first code is the one to show; then ISO 639-2 and 639-3
    "Afrikaans": ("af", "afr"),
    "Albanian": ("sq", "sqi", "alb"),
    "Amharic": ("am", "amh"),
    "Arabic": ("ar", "ara", "arb"),
    "Armenian": ("hy", "hye", "arm"),
    "Assamese": ("as", "asm"),
    "Azerbaijani": ("az", "aze"),
    "Bashkir": ("ba", "bak"),
    "Basque": ("eu", "eus", "baq"),
    "Belarusian": ("be", "bel"),
    "Bengali": ("bn", "ben"),
    "Bosnian": ("bs", "bos"),
    "Breton": ("br", "bre"),
    "Bulgarian": ("bg", "bul"),
    "Cantonese": ("yue", "zh-yue"),
    "Catalan": ("ca", "cat"),
    "Chinese": ("zh", "zho", "chi", "cmn"),
    "Croatian": ("hr", "hrv"),
    "Czech": ("cs", "ces", "cze"),
    "Danish": ("da", "dan"),
    "Dutch": ("nl", "nld", "dut"),
    "English": ("en", "eng"),
    "Estonian": ("et", "est"),
    "Faroese": ("fo", "fao"),
    "Filipino": ("fil", "tl", "tgl"),
    "Finnish": ("fi", "fin"),
    "French": ("fr", "fra", "fre"),
    "Galician": ("gl", "glg"),
    "Georgian": ("ka", "kat", "geo"),
    "German": ("de", "deu", "ger"),
    "Greek": ("el", "ell", "gre"),
    "Gujarati": ("gu", "guj"),
    "Haitian Creole": ("ht", "hat"),
    "Hausa": ("ha", "hau"),
    "Hawaiian": ("haw",),
    "Hebrew": ("he", "iw", "heb"),
    "Hindi": ("hi", "hin"),
    "Hungarian": ("hu", "hun"),
    "Icelandic": ("is", "isl", "ice"),
    "Indonesian": ("id", "ind"),
    "Italian": ("it", "ita"),
    "Japanese": ("ja", "jpn"),
    "Javanese": ("jv", "jw", "jav"),
    "Kannada": ("kn", "kan"),
    "Kazakh": ("kk", "kaz"),
    "Khmer": ("km", "khm"),
    "Korean": ("ko", "kor"),
    "Lao": ("lo", "lao"),
    "Latin": ("la", "lat"),
    "Latvian": ("lv", "lav"),
    "Lingala": ("ln", "lin"),
    "Lithuanian": ("lt", "lit"),
    "Luxembourgish": ("lb", "ltz"),
    "Macedonian": ("mk", "mkd", "mac"),
    "Malagasy": ("mg", "mlg"),
    "Malay": ("ms", "msa", "may", "zsm"),
    "Malayalam": ("ml", "mal"),
    "Maltese": ("mt", "mlt"),
    "Maori": ("mi", "mri", "mao"),
    "Marathi": ("mr", "mar"),
    "Mongolian": ("mn", "mon"),
    "Myanmar": ("my", "mya", "bur"),
    "Nepali": ("ne", "nep"),
    "Norwegian": ("no", "nor", "nb", "nob"),
    "Nynorsk": ("nn", "nno"),
    "Occitan": ("oc", "oci"),
    "Pashto": ("ps", "pus"),
    "Persian": ("fa", "fas", "per", "pes"),
    "Polish": ("pl", "pol"),
    "Portuguese": ("pt", "por"),
    "Punjabi": ("pa", "pan"),
    "Romanian": ("ro", "ron", "rum"),
    "Russian": ("ru", "rus"),
    "Sanskrit": ("sa", "san"),
    "Serbian": ("sr", "srp"),
    "Shona": ("sn", "sna"),
    "Sindhi": ("sd", "snd"),
    "Sinhala": ("si", "sin"),
    "Slovak": ("sk", "slk", "slo"),
    "Slovenian": ("sl", "slv"),
    "Somali": ("so", "som"),
    "Spanish": ("es", "spa"),
    "Sundanese": ("su", "sun"),
    "Swahili": ("sw", "swa"),
    "Swedish": ("sv", "swe"),
    "Tajik": ("tg", "tgk"),
    "Tamil": ("ta", "tam"),
    "Tatar": ("tt", "tat"),
    "Telugu": ("te", "tel"),
    "Thai": ("th", "tha"),
    "Tibetan": ("bo", "bod", "tib"),
    "Turkish": ("tr", "tur"),
    "Turkmen": ("tk", "tuk"),
    "Ukrainian": ("uk", "ukr"),
    "Urdu": ("ur", "urd"),
    "Uzbek": ("uz", "uzb"),
    "Vietnamese": ("vi", "vie"),
    "Welsh": ("cy", "cym", "wel"),
    "Yiddish": ("yi", "yid"),
    "Yoruba": ("yo", "yor"),
}


DETECT = frozenset({"", "auto", "automatic", "auto-detect", "autodetect", "detect"}) | frozenset(
    {"und", "mul", "none", "null", "undefined"}  # ISO 639's "undetermined", "multiple"; clients' own nothing
)
_ACCENTS = frozenset(map(chr, range(0x300, 0x370)))  # combining ones of European alphabets
_PARENTHESES = re.compile(r"\s*\(.*\)")  # Chinese (Simplified)


def means_any(text: str) -> bool:
    """Whether the model is to find out the language by itself."""
    return text.strip().lower() in DETECT


def find(text: str) -> str | None:
    """The English name for a name or code: "chinese", "ZH", "zh-Hant-TW", "中文". None: unknown."""
    plain = _plain(text)
    wanted = _PARENTHESES.sub("", plain).replace("_", "-")
    for tag in (wanted, wanted.split("-")[0]):  # the whole first: zh-yue is not Chinese
        if tag in _names():
            return _names()[tag]
    return None


@cache
def _names() -> dict[str, str]:
    """Each name and code, as `_plain` writes it, and its English name."""
    rows = (*LANGUAGES.items(), *OTHER_NAMES.items(), *UNSPOKEN.items())
    return {_plain(name): english for english, names in rows for name in (english, *names)}


def _plain(text: str) -> str:
    """In small letters, without accents."""
    letters = unicodedata.normalize("NFD", text.strip().lower())
    return unicodedata.normalize("NFC", "".join(c for c in letters if c not in _ACCENTS))
