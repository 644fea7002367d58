"""Colours of the report: versions stay apart for the colour-blind, text stands out (WCAG AA), in light and dark."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

THEME = files("hotswap.report").joinpath("assets", "theme.css").read_text("utf-8")
LIGHT, _, DARK = THEME.partition("@media screen and (prefers-color-scheme: dark)")
TEXTS = ("text", "quiet", "accent", "pass", "fail", "inconclusive")
# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
BLIND = {
    "full colour": np.eye(3),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
}


def colours(scheme: str) -> dict[str, NDArray[np.float64]]:
    """Linear RGB by name; what dark does not name is as in light."""
    text = LIGHT if scheme == "light" else LIGHT + DARK
    return {name: linear(value) for name, value in re.findall(r"--([\w-]+): (#[0-9a-f]{6});", text)}


def linear(value: str) -> NDArray[np.float64]:
    srgb = np.array([int(value[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    x, y, z = np.cbrt(np.clip(to_xyz @ np.clip(rgb, 0, 1) / np.array([0.95047, 1.0, 1.08883]), 1e-4, None))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    weights = np.array([0.2126, 0.7152, 0.0722])
    low, high = sorted(float(weights @ rgb) for rgb in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("sight", BLIND)
def test_versions_differ_for_every_kind_of_sight(scheme: str, sight: str) -> None:
    known = colours(scheme)
    seen = {name: lab(BLIND[sight] @ known[name]) for name in ("v0", "v1", "v2", "v3")}
    for one, other in combinations(seen, 2):
        distance = float(np.linalg.norm(seen[one] - seen[other]))
        assert distance > 20, f"{one} and {other} look alike with {sight}: {distance:.0f}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("sight", BLIND)
def test_parts_of_a_stall_differ_for_every_kind_of_sight(scheme: str, sight: str) -> None:
    known = colours(scheme)
    names = ("part-drain", "part-switch", "part-release", "part-prepare")
    seen = {name: lab(BLIND[sight] @ known[name]) for name in names}
    for one, other in combinations(seen, 2):
        distance = float(np.linalg.norm(seen[one] - seen[other]))
        assert distance > 9, f"{one} and {other} look alike with {sight}: {distance:.0f}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("ground", ["panel", "ground"])
def test_text_has_enough_contrast(scheme: str, name: str, ground: str) -> None:
    known = colours(scheme)
    assert contrast(known[name], known[ground]) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_on_coloured_grounds_has_enough_contrast(scheme: str) -> None:
    known = colours(scheme)
    assert contrast(known["on-accent"], known["accent"]) >= 4.5
    for part in ("prepare", "drain", "switch", "release", "finish", "roll-back"):
        assert contrast(known["on-part"], known[f"part-{part}"]) >= 4.5, part
    for verdict in ("fail", "inconclusive", "accent"):
        assert contrast(known["panel"], known[verdict]) >= 4.5, "the numbers of a proof"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_shapes_stand_out_from_the_ground(scheme: str) -> None:
    known = colours(scheme)
    for name in ("v0", "v1", "v2", "v3", "v4", "v5", "signal"):
        assert contrast(known[name], known["panel"]) >= 2, name
