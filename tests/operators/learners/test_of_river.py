from __future__ import annotations

from typing import Any

import pytest
from river import base, optim

from operators.learners.of_river import of_river

CLASSIFIER: Any = base.Classifier
FOREST = "river.forest.ARFClassifier"


def test_an_estimator_is_made_with_its_parameters_and_those_that_are_objects() -> None:
    params = {"optimizer": {"river.optim.AdaGrad": {"lr": 0.5}}, "l2": 0.25}
    model: Any = of_river(CLASSIFIER, "river.linear_model.LogisticRegression", params)
    assert isinstance(model.optimizer, optim.AdaGrad) and (model.optimizer.learning_rate, model.l2) == (0.5, 0.25)
    models: list[Any] = [{"river.naive_bayes.GaussianNB": {}}, {"river.dummy.PriorClassifier": {}}]
    voting: Any = of_river(CLASSIFIER, "river.ensemble.VotingClassifier", {"models": models})
    assert [type(one).__name__ for one in voting] == ["GaussianNB", "PriorClassifier"]


def test_chance_has_a_seed() -> None:
    seeded: Any = of_river(CLASSIFIER, FOREST, {}, seed=7)
    chosen: Any = of_river(CLASSIFIER, FOREST, {"seed": 9}, seed=7)
    assert (seeded.seed, chosen.seed) == (7, 9)


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "subprocess.Popen",
        "riverbank.tree.Tree",
        "river.tree",
        "river.nothing.Tree",
        "river.tree.NoTree",
        "river.linear_model.__builtins__.Eval",
        "river.base.estimator.Any",
        "river.utils.rolling.Generic",
        "river.tree.HoeffdingTreeClassifier.__init__",
        "river..tree.Tree",
        "",
    ],
)
def test_nothing_but_what_river_defines_can_be_named(name: str) -> None:
    with pytest.raises(ValueError, match="expected the name of a class of river"):
        of_river(CLASSIFIER, name, {})


@pytest.mark.parametrize("name", ["river.linear_model.LinearRegression", "river.base.Classifier", "river.drift.ADWIN"])
def test_what_is_of_another_kind_or_abstract_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"expected a Classifier of river, got {name}"):
        of_river(CLASSIFIER, name, {})


def test_parameters_that_it_does_not_take_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected parameters of river.linear_model.Perceptron, got colour: .*'colour'"):
        of_river(CLASSIFIER, "river.linear_model.Perceptron", {"colour": "red"})
    with pytest.raises(ValueError, match="expected the name of a class of river"):
        of_river(CLASSIFIER, "river.linear_model.LogisticRegression", {"optimizer": {"river.optim.NoSuch": {}}})
