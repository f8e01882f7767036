"""Our voice activity network against Silero's own, number by number; and how its weights came here.

pip install silero-vad==6.2.3 --no-deps && pip install onnx onnxruntime
python -m tools.reference.voice_activity            exit 1 beyond float16's rounding
python -m tools.reference.voice_activity --store    write the package's weights and the golden answers
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import soundfile
from onnx import numpy_helper

from ominix.models.voice_activity.network import CHUNK, Network

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "ominix" / "embedded" / "samples"
WEIGHTS = ROOT / "ominix" / "models" / "voice_activity" / "weights.npz"
GOLDEN = ROOT / "tests" / "golden" / "voice_activity" / "answers.npz"
TOLERANCE = 0.02  # weights in float16; with float32 weights the difference is 1e-6


def published() -> Path:
    spec = importlib.util.find_spec("silero_vad")  # it is not imported: that needs torch
    if spec is None or spec.origin is None:
        raise SystemExit("pip install silero-vad==6.2.3 --no-deps")
    return Path(spec.origin).parent / "data" / "silero_vad_16k_op15.onnx"


def converted(model: Path) -> dict[str, np.ndarray]:
    """Convolutions as matrices of three taps, of the last the middle one alone; the LSTM's biases added."""
    stored = {i.name: numpy_helper.to_array(i) for i in onnx.load(model).graph.initializer}
    found = {}
    for i in range(4):
        kernel = stored[f"model.encoder.{i}.reparam_conv.weight"]  # (outputs, inputs, 3)
        found[f"conv{i + 1}.weight"] = kernel.transpose(2, 1, 0).reshape(-1, len(kernel))
        found[f"conv{i + 1}.bias"] = stored[f"model.encoder.{i}.reparam_conv.bias"]
    found["conv4.weight"] = found["conv4.weight"][64:128]
    rnn = "model.decoder.rnn."
    found["lstm.weight_ih"] = stored[rnn + "weight_ih"].T
    found["lstm.weight_hh"] = stored[rnn + "weight_hh"].T
    found["lstm.bias"] = stored[rnn + "bias_ih"] + stored[rnn + "bias_hh"]
    found["final.weight"] = stored["model.decoder.decoder.2.weight"][0, :, 0]
    found["final.bias"] = stored["model.decoder.decoder.2.bias"][0]
    return {name: value.astype(np.float16) for name, value in found.items()}


def reference(model: Path, samples: np.ndarray) -> np.ndarray:
    """(chunks * CHUNK,) -> (chunks,)"""
    session = onnxruntime.InferenceSession(str(model))
    state, context, found = np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32), []
    for i in range(0, len(samples), CHUNK):
        chunk = samples[i : i + CHUNK]
        fed = {"input": np.concatenate([context, chunk])[None], "state": state, "sr": np.array(16_000)}
        probability, state = session.run(None, fed)
        found.append(probability[0, 0])
        context = chunk[-64:]
    return np.array(found)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", action="store_true")
    model = published()
    answers = {}
    for path in sorted(SAMPLES.glob("*.flac")):
        samples, _ = soundfile.read(path, dtype="float32")
        answers[path.name] = reference(model, samples[: len(samples) // CHUNK * CHUNK])
    if parser.parse_args().store:
        np.savez_compressed(WEIGHTS, **converted(model))
        np.savez_compressed(GOLDEN, **answers)
    worst = 0.0
    for name, expected in answers.items():
        samples, _ = soundfile.read(SAMPLES / name, dtype="float32")
        found = Network().probabilities(samples[: len(expected) * CHUNK])
        worst = max(worst, float(np.abs(found - expected).max()))
        print(f"{name}: {len(expected)} chunks, largest difference {np.abs(found - expected).max():.2g}")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
