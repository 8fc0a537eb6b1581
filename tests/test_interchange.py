"""Networks from and to scikit-learn and PyTorch predict there what they predict here."""

import contextlib
import io
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import fastprop

from .cases import HIDDEN, OUTPUTS

TOLERANCE = {"float32": {"rtol": 1e-5, "atol": 1e-6}, "float64": {"rtol": 1e-12, "atol": 1e-13}}
HIDDEN_OF_SKLEARN = {"identity": "identity", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}


# scikit-learn


@pytest.fixture(scope="module")
def models():
    return pytest.importorskip("sklearn.neural_network")


def fitted(estimator, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        return estimator.fit(X, y)


def data(kind, rng, dtype="float64"):
    X = rng.standard_normal((60, 4)).astype(dtype)
    scores = X @ rng.standard_normal((4, 3))
    y = {
        "regression": X @ [1.0, -2.0, 0.5, 0.0],
        "regressions": scores,
        "binary": np.where(scores[:, 0] > 0, "yes", "no"),
        "multiclass": np.array([5, 7, 9])[scores.argmax(axis=1)],
        "multilabel": (scores > 0).astype(int),
    }[kind]
    return X, y


def expected(estimator, X):
    """What the network gives that the estimator is made of."""
    if not hasattr(estimator, "predict_proba"):
        return estimator.predict(X).reshape(len(X), -1)
    probabilities = estimator.predict_proba(X)
    return probabilities[:, 1:] if estimator.n_outputs_ == 1 else probabilities


@pytest.mark.parametrize("activation", HIDDEN_OF_SKLEARN)
@pytest.mark.parametrize("kind", ["regression", "regressions", "binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_from_sklearn_and_back(models, rng, kind, activation, dtype):
    X, y = data(kind, rng, dtype)
    model = models.MLPRegressor if kind.startswith("regression") else models.MLPClassifier
    options = {"hidden_layer_sizes": (6, 5), "activation": activation}
    estimator = fitted(model(**options, max_iter=5, random_state=0), X, y)
    net = fastprop.from_sklearn(estimator)
    assert net.dtype == estimator.coefs_[0].dtype == dtype
    assert [a.name for a in net.hidden_activations] == [HIDDEN_OF_SKLEARN[activation]] * 2
    np.testing.assert_allclose(net.predict(X), expected(estimator, X), **TOLERANCE[dtype])

    back = net.to_sklearn(classes=getattr(estimator, "classes_", None))
    assert type(back) is model
    assert back.coefs_[0].dtype == dtype
    assert all((ours == theirs).all() for ours, theirs in zip(back.coefs_, estimator.coefs_, strict=True))
    assert all((ours == theirs).all() for ours, theirs in zip(back.intercepts_, estimator.intercepts_, strict=True))
    assert back.get_params()["hidden_layer_sizes"] == (6, 5)
    assert back.predict(X).shape == estimator.predict(X).shape
    assert (back.predict(X) == estimator.predict(X)).all()
    if model is models.MLPClassifier:
        assert (back.predict_proba(X) == estimator.predict_proba(X)).all()
        assert (back.classes_ == estimator.classes_).all()


def test_the_copy_is_a_copy(models, rng):
    X, y = data("regression", rng)
    estimator = fitted(models.MLPRegressor(max_iter=2, random_state=0), X, y)
    before = estimator.predict(X)
    net = fastprop.from_sklearn(estimator, loss="mae", seed=3)
    assert (net.loss.name, net.seed) == ("mae", 3)
    net.fit(X, y, epochs=1)
    assert (estimator.predict(X) == before).all()
    back = net.to_sklearn()
    outputs = net.predict(X)
    back.partial_fit(X, y)
    assert (net.predict(X) == outputs).all()


def test_the_defaults_that_fastprop_trains_with(models, rng):
    for kind, loss in (("regression", "squared_error"), ("binary", "binary_cross_entropy"),
                       ("multiclass", "cross_entropy"), ("multilabel", "binary_cross_entropy")):  # fmt: skip
        X, y = data(kind, rng)
        model = models.MLPRegressor if kind == "regression" else models.MLPClassifier
        assert fastprop.from_sklearn(fitted(model(max_iter=2), X, y)).loss.name == loss


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_softmax_of_two_becomes_a_sigmoid(models, rng, dtype):
    net = fastprop.Network([4, 6, 2], "tanh", "softmax", dtype=dtype, seed=0)
    net.biases[-1][...] = [0.3, -0.4]
    X = rng.standard_normal((20, 4)).astype(dtype)
    classifier = net.to_sklearn(classes=["no", "yes"])
    np.testing.assert_allclose(classifier.predict_proba(X), net.predict(X), **TOLERANCE[dtype])
    assert classifier.predict(X).tolist() == np.array(["no", "yes"])[net.predict(X).argmax(axis=1)].tolist()


def test_without_hidden_layers(models, rng):
    X = rng.standard_normal((20, 4))
    net = fastprop.Network([4, 3], output="softmax", dtype="float64", seed=0)
    np.testing.assert_allclose(net.to_sklearn().predict_proba(X), net.predict(X), rtol=1e-12)


def test_training_goes_on_in_sklearn(models, rng):
    X, y = data("multiclass", rng)
    net = fastprop.Network([4, 8, 3], "relu", "softmax", dtype="float64", seed=0)
    classifier = net.to_sklearn(classes=[5, 7, 9])
    assert (classifier.n_iter_, classifier.t_, classifier.loss_curve_) == (0, 0, [])
    before = classifier.score(X, y)
    classifier.set_params(learning_rate_init=0.02)
    for _ in range(50):
        classifier.partial_fit(X, y)
    assert len(classifier.loss_curve_) == 50
    assert classifier.loss_curve_[0] > classifier.loss_curve_[-1]
    assert classifier.score(X, y) > max(before, 0.8)


@pytest.mark.parametrize(
    ("network", "classes", "message"),
    [
        (([2, 3, 3, 1], ["relu", "tanh"]), None, "hidden layers must all have the same one of .* got relu, tanh"),
        (([2, 3, 1], "gelu"), None, "hidden layers must all have the same one of .* got gelu"),
        (([2, 3, 1], "relu", "tanh"), None, "the output must be identity, sigmoid or softmax .* got 'tanh'"),
        (([2, 3, 1], "relu"), [0, 1], "classes must be left out: an identity output makes a regressor"),
        (([2, 3, 3], "relu", "softmax"), [0, 1], r"classes must have shape \(3,\)"),
        (([2, 3, 3], "relu", "softmax"), [0, 2, 1], r"classes must be in ascending order, got \[0, 2, 1\]"),
    ],
)
def test_what_sklearn_has_not_is_refused(models, network, classes, message):
    with pytest.raises(ValueError, match=message):
        fastprop.Network(*network).to_sklearn(classes=classes)


def test_other_estimators_are_refused(models, rng):
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline

    X, y = data("regression", rng)
    for other in (LinearRegression().fit(X, y), make_pipeline(models.MLPRegressor()), None):
        with pytest.raises(TypeError, match="estimator must be an MLPClassifier or MLPRegressor of scikit-learn, got"):
            fastprop.from_sklearn(other)
    with pytest.raises(ValueError, match="estimator must be fitted"):
        fastprop.from_sklearn(models.MLPRegressor())
    estimator = fitted(models.MLPRegressor(max_iter=2), X, y)
    estimator.out_activation_ = "exp"  # of loss="poisson", which is newer than the oldest scikit-learn here
    with pytest.raises(ValueError, match="estimator must have an output that fastprop knows, got 'exp'"):
        fastprop.from_sklearn(estimator)


def test_without_the_libraries_the_error_names_the_extra(monkeypatch):
    net = fastprop.Network([2, 1])
    monkeypatch.setitem(sys.modules, "sklearn.neural_network", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    for name, call in (
        ("sklearn", lambda: fastprop.from_sklearn(None)),
        ("sklearn", net.to_sklearn),
        ("torch", lambda: fastprop.from_torch(None)),
        ("torch", net.to_torch),
    ):
        with pytest.raises(ImportError, match=rf"needs .*: pip install 'fastprop-numba\[{name}\]'"):
            call()


# PyTorch


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_to_torch_and_back(torch, rng, hidden, dtype):
    function = HIDDEN[hidden][0]
    for output in (function, "softmax"):
        net = fastprop.Network([5, 17, 9, 3], function, output, dtype=dtype, seed=1, loss="mse")
        for b in net.biases:
            b[...] = rng.uniform(-0.5, 0.5, b.shape)
        X = rng.standard_normal((40, 5)).astype(dtype)
        module = net.to_torch()
        with torch.no_grad():
            outputs = module(torch.from_numpy(X)).numpy()
        assert outputs.dtype == dtype
        np.testing.assert_allclose(outputs, net.predict(X), **TOLERANCE[dtype])
        assert [name for name, _ in module.named_parameters()] == [
            f"{m}.{p}" for m in (0, 2, 4) for p in ("weight", "bias")
        ]
        assert len(module) == 6

        back = fastprop.from_torch(module, loss="mse")
        assert back.dtype == dtype
        assert (back.hidden_activations, back.output_activation) == (net.hidden_activations, net.output_activation)
        assert (back.get_parameters() == net.get_parameters()).all()
        back.weights[0][...] = 0  # a copy
        assert module[0].weight.all()


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_activations_in_torch_at_every_magnitude(torch, hidden, dtype):
    net = fastprop.Network([1, 1], output=OUTPUTS[hidden][0], dtype=dtype, loss="mse")
    net.set_parameters([1.0, 0.0])
    z = np.array([0.0, *np.geomspace(1e-30, 1e12, 241), *np.linspace(1, 50, 99)], dtype)
    z = np.concatenate([-z, z])[:, None]
    with torch.no_grad():
        outputs = net.to_torch()(torch.from_numpy(z)).numpy()
    np.testing.assert_allclose(outputs, net.predict(z), **TOLERANCE[dtype])


def test_from_torch_of_what_people_write(torch, rng):
    nn = torch.nn
    torch.manual_seed(0)
    act = nn.ReLU()  # the same module in three places
    module = nn.Sequential(
        nn.Identity(),
        nn.Sequential(nn.Linear(4, 8, bias=False), act),
        nn.Linear(8, 7),
        act,
        nn.Linear(7, 7),
        nn.Linear(7, 6),
        act,
        nn.Linear(6, 3),
        nn.LeakyReLU(0.3, inplace=True),
    )
    net = fastprop.from_torch(module, seed=4)
    assert net.sizes == (4, 8, 7, 7, 6, 3)
    assert [a.name for a in net.hidden_activations] == ["relu", "relu", "identity", "relu"]
    assert net.output_activation == fastprop.LeakyReLU(0.3)
    assert (net.loss.name, net.seed) == ("squared_error", 4)
    X = rng.standard_normal((10, 4), dtype=np.float32)
    with torch.no_grad():
        np.testing.assert_allclose(net.predict(X), module(torch.from_numpy(X)).numpy(), rtol=1e-5, atol=1e-6)


def test_dropout_comes_along(torch, rng):
    nn = torch.nn
    module = nn.Sequential(
        nn.Dropout(0.1), nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 8), nn.Linear(8, 7), nn.Dropout(0.2),
        nn.Linear(7, 3),
    )  # fmt: skip
    net = fastprop.from_torch(module)
    assert [a.name for a in net.hidden_activations] == ["tanh", "identity", "identity"]
    assert net.dropout == (0.1, 0.5, 0.0, 0.2)
    X = rng.standard_normal((10, 4), dtype=np.float32)
    with torch.no_grad():
        np.testing.assert_allclose(net.predict(X), module.eval()(torch.from_numpy(X)).numpy(), rtol=1e-5, atol=1e-6)
    assert not any(fastprop.from_torch(net.to_torch()).dropout)


def test_no_number_is_drawn_from_the_users_generator(torch):
    state = torch.get_rng_state()
    fastprop.Network([3, 2]).to_torch()
    assert torch.equal(torch.get_rng_state(), state)


def test_gradients_of_torch_are_ours(torch, rng):
    """The exchange keeps the meaning of the parameters: ∂C/∂W of a layer is that of its weight, transposed."""
    net = fastprop.Network([3, 5, 2], "gelu", loss="mse", dtype="float64", seed=0)
    X, y = rng.standard_normal((2, 6, 3))[0], rng.standard_normal((6, 2))
    module = net.to_torch()
    torch.nn.functional.mse_loss(module(torch.from_numpy(X)), torch.from_numpy(y)).backward()
    net.forward(X)
    net.backward(y)
    for m, (dW, db) in enumerate(zip(net.weight_gradients, net.bias_gradients, strict=True)):
        np.testing.assert_allclose(module[2 * m].weight.grad.numpy().T, dW, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(module[2 * m].bias.grad.numpy(), db, rtol=1e-10, atol=1e-14)


def test_what_fastprop_has_not_is_refused(torch):
    nn = torch.nn
    linear = nn.Linear(2, 2)

    class Doubled(nn.Sequential):
        def forward(self, x):
            return 2 * super().forward(x)

    class MyLinear(nn.Linear):
        pass

    hooked = nn.Sequential(nn.Linear(2, 2))
    hooked[0].register_forward_hook(lambda *_: None)
    for modules, message in (
        ([linear, nn.BatchNorm1d(2)], r"module\[1\] must be one of Linear, .* got BatchNorm1d"),
        ([linear, nn.Sequential(nn.Hardswish())], r"module\[1\]\[0\] must be one of Linear, .* got Hardswish"),
        ([linear, nn.GELU()], r"module\[1\] must be GELU\(approximate='tanh'\)"),
        ([linear, nn.Softplus(beta=2)], r"module\[1\] must be Softplus with beta=1"),
        ([linear, nn.Softplus(threshold=5)], r"module\[1\] must be Softplus with beta=1 and a threshold of 20"),
        ([linear, nn.Softmax(dim=0)], r"module\[1\] must be Softmax\(dim=1\)"),
        ([linear, nn.Softmax(dim=1), linear], "hidden must not be 'softmax'"),
        ([linear, nn.LeakyReLU(-0.1)], "slope must be a finite number ≥ 0"),
        ([linear, nn.ReLU(), nn.Tanh()], r"module\[2\] must follow a linear layer, got Tanh"),
        ([nn.ReLU(), linear], r"module\[0\] must follow a linear layer, got ReLU"),
        (
            [linear, nn.Linear(3, 1)],
            r"module\[1\] must take 2 inputs, the outputs before it, got Linear\(in_fea",
        ),
        ([linear, nn.Dropout(0.1)], "module must not end with Dropout"),
        ([linear, nn.Dropout(0.1), nn.ReLU()], r"module\[2\] must follow a linear layer, got ReLU"),
        ([linear, nn.Dropout(0.1), nn.Dropout(0.1)], r"module\[2\] must be the only Dropout after its layer"),
        ([], "module must have a Linear layer, got none"),
        ([nn.Linear(2, 2).half()], "module must be float32 or float64 throughout, got torch.float16"),
        (
            [nn.Linear(2, 2), nn.Linear(2, 2).double()],
            "module must be float32 or .* got torch.float32, torch.float64",
        ),
        ([MyLinear(2, 2)], r"module\[0\] must be one of Linear, .* got MyLinear"),
        ([Doubled(nn.Linear(2, 2))], r"module\[0\] must be one of Linear, .* got Doubled"),
        (
            [nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))],
            r"module\[0\] must be one of .* got ParametrizedLinear",
        ),
        ([hooked], r"module\[0\]\[0\] must have no forward hooks"),
    ):
        with pytest.raises(ValueError, match=message):
            fastprop.from_torch(nn.Sequential(*modules))
    for other in (linear, Doubled(linear), None):
        with pytest.raises(TypeError, match=r"module must be a torch.nn.Sequential, got"):
            fastprop.from_torch(other)


def test_parameters_that_are_not_finite_are_refused(models, rng):
    net = fastprop.Network([2, 3, 1])
    net.biases[0][1] = np.nan
    with pytest.raises(ValueError, match="weights and biases must be finite, got NaN or infinity in layer 1"):
        net.to_sklearn()


def test_the_example_with_torch(torch):
    """Not among the examples that other tests run, which must not need PyTorch."""
    page = (Path(__file__).parents[1] / "docs" / "runtimes.md").read_text(encoding="utf-8")
    first = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    example, printed = re.search(r"```py\n(.*?)```\n+```text\n(.*?)```", page, re.DOTALL).groups()
    namespace = {}
    output = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()):
        exec(first, namespace)
    with contextlib.redirect_stdout(output):
        exec(example, namespace)
    assert output.getvalue() == printed
