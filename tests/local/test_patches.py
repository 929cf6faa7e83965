"""What the emulators' packages have lost is said once, as one list, and nothing is changed then."""

import ast
import importlib
import sys
import types
from pathlib import Path

import pytest

from local.emulator import patches
from local.errors import LocalError

EMULATOR = Path(patches.__file__).parent


@pytest.fixture
def ministack(monkeypatch):
    """A package of some names, to patch."""
    package = types.ModuleType("ministack.services.shop")
    package.buy = lambda what: f"bought {what}"
    package.Basket = type("Basket", (), {"size": 3})
    package.ACTIONS = {"Buy": package.buy}
    monkeypatch.setattr(patches, "_patches", [])
    monkeypatch.setattr(patches, "_missing_modules", set())
    return package


def loudly(original):
    return lambda what: original(what).upper()


def test_everything_that_is_missing_is_one_list_and_nothing_is_changed(ministack):
    bought = ministack.buy
    gone = patches.module("ministack.services.no_such_service")
    patches.wrap(ministack, "buy", loudly)
    patches.wrap(ministack, "sell", loudly)
    patches.wrap(gone, "anything", loudly)
    patches.wrap(ministack, "ACTIONS", loudly, entry="Sell")
    patches.replace(ministack, "Basket.weight", 1)
    patches.add(ministack, "PRICES", "apple", 1)
    with pytest.raises(LocalError) as refused:
        patches.apply()
    said = str(refused.value)
    assert said.startswith("ministack 1.")
    assert said.endswith(
        " lacks what local/emulator/ changes: ministack.services.no_such_service, "
        "ministack.services.shop.ACTIONS['Sell'], ministack.services.shop.Basket.weight, "
        "ministack.services.shop.PRICES, ministack.services.shop.sell"
    )
    assert ministack.buy is bought


def test_changes_are_made_in_their_order(ministack):
    patches.wrap(ministack, "buy", loudly)
    patches.wrap(ministack, "buy", lambda original: lambda what: original(what) + "!")
    patches.wrap(ministack, "ACTIONS", loudly, entry="Buy")
    patches.replace(ministack, "Basket.size", 4)
    patches.add(ministack, "ACTIONS", "Look", "looked")
    assert ministack.buy("tea") == "bought tea"
    patches.apply()
    assert ministack.buy("tea") == "BOUGHT TEA!"
    assert ministack.ACTIONS["Buy"]("tea") == "BOUGHT TEA"
    assert ministack.ACTIONS["Look"] == "looked"
    assert ministack.Basket.size == 4


def test_an_emulator_that_lacks_names_says_so_when_it_starts(tmp_path, own, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(
        "import moto.codepipeline.models as models\ndel models.CodePipelineBackend.iam_backend\n"
    )
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}:$PYTHONPATH exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(LocalError, match=r"did not start: moto \S+ lacks what .*\.iam_backend \("):
        own.up()


def private_names():
    """Yield the private names of the emulators' packages that any of our modules mentions."""
    for path in sorted(EMULATOR.glob("*.py")):
        tree = ast.parse(path.read_text())
        called = {
            node.targets[0].id: node.value.args[0].value
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and getattr(node.value.func, "id", "") == "module"
        }
        for node in ast.walk(tree):
            owner = getattr(getattr(node, "value", None), "id", "")
            if isinstance(node, ast.Attribute) and owner in called and node.attr.startswith("_"):
                yield called[owner], node.attr


def test_every_private_name_that_is_used_exists():
    names = set(private_names())
    assert len(names) > 30
    assert [
        f"{module}.{name}"
        for module, name in sorted(names)
        if not hasattr(importlib.import_module(module), name)
    ] == []
