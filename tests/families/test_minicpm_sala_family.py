from __future__ import annotations

import importlib.util

from ominix.families import minicpm_sala, mlx_lm


def test_it_claims_its_model_type_alone():
    assert minicpm_sala.CHAT.claims({"model_type": "minicpm_sala"})
    assert not minicpm_sala.CHAT.claims({"model_type": "minicpm"})


def test_its_package_exists_because_mlx_lm_lacks_it():
    assert importlib.util.find_spec(f"ominix.models.{minicpm_sala.CHAT.package}")
    assert not mlx_lm.CHAT.claims({"model_type": "minicpm_sala"})
