"""The whole network. Module names are those of mlx-whisper's checkpoints."""

from __future__ import annotations

import mlx.nn as nn

from ominix.models.whisper.config import Config
from ominix.models.whisper.decoder import TextDecoder
from ominix.models.whisper.encoder import AudioEncoder


class Model(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = AudioEncoder(config)
        self.decoder = TextDecoder(config)
