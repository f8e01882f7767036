"""Small tokenizers of the kinds that chat models have: how they split, prefix and fall back on bytes."""

from __future__ import annotations

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXT = [
    "The quick brown fox jumps over the lazy dog; user assistant system model said: hello, hello!",
    "<|im_end|> im_end end start im_start header <start_of_turn> of turn INST [INST] </s> s think tool",
    "def f(x):\n    return x + 1\n\nzwölf Boxkämpfer 12345 67890  two  spaces <|start|>user<|message|>",
]
QWEN_SPLIT = (
    r"(?i:'s|'t|'re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def byte_level(*special: AddedToken) -> Tokenizer:
    """GPT-2's way, as Qwen, Llama 3, SmolLM2 and gpt-oss have it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.add_tokens(list(special))
    return tokenizer


def pieces(*special: AddedToken, prefix: str) -> Tokenizer:
    """SentencePiece's BPE, as Llama 2, Mistral ("normalizer", "first") and Gemma ("never") have it.

    The special tokens are words of the model as well, as conversions from tokenizer.model leave them.
    """
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    if prefix == "normalizer":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    elif prefix == "never":
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    names = ["<unk>", *(token.content for token in special), *BYTES]
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=names, show_progress=False)
    tokenizer.train_from_iterator(TEXT, trainer)
    changed = Tokenizer.from_str(_only_special(tokenizer, {token.content for token in special} | {"<unk>"}))
    changed.add_tokens(list(special))
    return changed


def unigram(*special: AddedToken) -> Tokenizer:
    """SentencePiece's other model, with its prefix everywhere."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=300,
        special_tokens=["<unk>", *(token.content for token in special)],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.add_tokens(list(special))
    return tokenizer


def _only_special(tokenizer: Tokenizer, names: set[str]) -> str:
    """Without the bytes among the added tokens: there they are words of the model alone."""
    import json

    whole = json.loads(tokenizer.to_str())
    whole["added_tokens"] = [token for token in whole["added_tokens"] if token["content"] in names]
    return json.dumps(whole)


def special(name: str, **flags: bool) -> AddedToken:
    return AddedToken(name, special=True, normalized=False, **flags)


def plain(name: str) -> AddedToken:
    return AddedToken(name, special=False, normalized=False)


def all_kinds() -> dict[str, Tokenizer]:
    """By the families that have them."""
    gemma = pieces(special("<bos>"), special("<start_of_turn>"), special("<end_of_turn>"), prefix="never")
    llama2 = pieces(special("<s>"), special("</s>"), prefix="normalizer")
    mistral = pieces(special("<s>"), special("</s>"), special("[INST]"), special("[/INST]"), prefix="first")
    phi3 = pieces(special("<s>"), special("<|user|>", rstrip=True), special("<|end|>"), prefix="normalizer")
    chatml = [special("<|im_start|>"), special("<|im_end|>")]
    marks = [plain(name) for name in ("<think>", "</think>", "<tool_response>", "</tool_response>")]
    llama3 = [
        special(f"<|{name}|>") for name in ("begin_of_text", "start_header_id", "end_header_id", "eot_id")
    ]
    harmony = [special(f"<|{name}|>") for name in ("start", "message", "channel", "end")]
    return {
        "chatml": byte_level(*chatml),
        "qwen3": byte_level(*chatml, *marks),
        "llama3": byte_level(*llama3),
        "harmony": byte_level(*harmony),
        "gemma": gemma,
        "llama2": llama2,
        "mistral": mistral,
        "phi3": phi3,
        "unigram": unigram(special("<s>"), special("<|im_end|>", lstrip=True), special("</s>")),
        "normalized": byte_level(AddedToken("<|im_end|>", special=True, normalized=True)),
    }
