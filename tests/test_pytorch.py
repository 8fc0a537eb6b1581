"""The reference's optimizers and learning rates against PyTorch's, where that is installed."""

from functools import partial

import numpy as np
import pytest

from fastprop import reference

torch = pytest.importorskip("torch")
optim, schedulers = torch.optim, torch.optim.lr_scheduler

#: (PyTorch's, the reference's); weight decay is for W alone, which PyTorch is told by two groups of parameters
RULES = {
    "sgd": (partial(optim.SGD, lr=0.05), partial(reference.sgd, learning_rate=0.05)),
    "nesterov": (
        partial(optim.SGD, lr=0.05, momentum=0.9, nesterov=True),
        partial(reference.sgd, learning_rate=0.05, momentum=0.9, nesterov=True),
    ),
    "rmsprop": (optim.RMSprop, reference.rmsprop),
    "rmsprop, centered": (
        partial(optim.RMSprop, centered=True, momentum=0.9, eps=1e-3, alpha=0.9),
        partial(reference.rmsprop, centered=True, momentum=0.9, epsilon=1e-3, rho=0.9),
    ),
    "adagrad": (optim.Adagrad, reference.adagrad),
    "adagrad's decay": (
        partial(optim.Adagrad, lr_decay=0.1, initial_accumulator_value=0.5),
        partial(reference.adagrad, learning_rate_decay=0.1, initial_accumulator=0.5),
    ),
    "adam": (optim.Adam, reference.adam),
    "adamw": (optim.AdamW, reference.adamw),
}


def both(rule, weight_decay, steps=200):
    """W and b after so many steps on a noisy bowl, PyTorch's and the reference's."""
    rng = np.random.default_rng(4)
    theirs_of, ours_of = RULES[rule]
    theta = [rng.normal(size=(3, 2)), rng.normal(size=2)]
    tensors = [torch.tensor(p, requires_grad=True) for p in theta]
    groups = [{"params": [tensors[0]], "weight_decay": weight_decay}, {"params": [tensors[1]], "weight_decay": 0.0}]
    optimizer, state = theirs_of(groups), {}
    for _ in range(steps):
        noise = [rng.normal(size=p.shape) for p in theta]
        for tensor, n in zip(tensors, noise, strict=True):
            tensor.grad = 0.5 * tensor.detach() + torch.tensor(n)
        optimizer.step()
        ours_of(theta, [0.5 * p + n for p, n in zip(theta, noise, strict=True)], state, weight_decay=weight_decay)
    return [tensor.detach().numpy() for tensor in tensors], theta


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("rule", RULES)
def test_200_steps(rule, weight_decay):
    for theirs, ours in zip(*both(rule, weight_decay), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)


def rates(scheduler, steps):
    """PyTorch's rates from the first update on."""
    optimizer = optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    course = scheduler(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        course.step()
    return found


def warm_cosine(optimizer):
    """A rise by one part in 21 with each of 20 updates, then a cosine of 130."""
    rise = schedulers.LinearLR(optimizer, start_factor=1 / 21, total_iters=20)
    return schedulers.SequentialLR(optimizer, [rise, schedulers.CosineAnnealingLR(optimizer, 130, 0.01)], [20])


@pytest.mark.parametrize(
    ("scheduler", "rate", "steps"),
    [
        (partial(schedulers.StepLR, step_size=7, gamma=0.5), partial(reference.step_decay, every=7, factor=0.5), 50),
        (partial(schedulers.ExponentialLR, gamma=0.97), partial(reference.exponential_decay, factor=0.97), 50),
        (
            partial(schedulers.CosineAnnealingLR, T_max=60, eta_min=0.01),
            partial(reference.cosine_decay, steps=60, final=0.01),
            60,
        ),
        (partial(warm_cosine), partial(reference.cosine_decay, steps=150, warmup=20, final=0.01), 150),
        (
            partial(schedulers.OneCycleLR, max_lr=0.3, total_steps=80, cycle_momentum=False),
            partial(reference.one_cycle, steps=80),
            80,
        ),
    ],
    ids=["step", "exponential", "cosine", "cosine with warm-up", "one-cycle"],
)
@pytest.mark.filterwarnings("ignore")  # PyTorch's own, of how SequentialLR calls its parts
def test_rates(scheduler, rate, steps):
    np.testing.assert_allclose([rate(t, 0.3) for t in range(steps)], rates(scheduler, steps), rtol=1e-10)


@pytest.mark.parametrize("patience", [0, 2])
def test_plateau(patience):
    losses = np.random.default_rng(0).uniform(1, 2, 60).cumsum()[::-1].round(-1)  # stairs down
    optimizer = optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    course = schedulers.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience, min_lr=0.01, eps=0)
    for k, loss in enumerate(losses):
        course.step(loss)
        ours = reference.reduce_on_plateau(losses[: k + 1], 0.3, factor=0.5, patience=patience, minimum=0.01)
        assert ours == optimizer.param_groups[0]["lr"]


def test_label_smoothing():
    rng = np.random.default_rng(1)
    z, labels = rng.normal(size=(5, 4)), rng.integers(4, size=5)
    theirs = torch.nn.CrossEntropyLoss(label_smoothing=0.2)(torch.tensor(z), torch.tensor(labels)).item()
    ours = reference.loss(labels, z, reference.softmax(z), "softmax", ("cross_entropy", 0.2))
    np.testing.assert_allclose(ours, theirs, rtol=1e-13)


def test_clipping():
    """PyTorch divides by ‖g‖ + 10⁻⁶."""
    rng = np.random.default_rng(1)
    gradients = [rng.normal(size=(3, 2)), rng.normal(size=2)]
    tensors = [torch.zeros(g.shape, dtype=torch.float64, requires_grad=True) for g in gradients]
    for tensor, g in zip(tensors, gradients, strict=True):
        tensor.grad = torch.tensor(g)
    torch.nn.utils.clip_grad_norm_(tensors, 0.5)
    torch.nn.utils.clip_grad_value_(tensors, 0.1)
    for tensor, ours in zip(
        tensors, reference.regularize(gradients, gradients, clip_norm=0.5, clip_value=0.1), strict=True
    ):
        np.testing.assert_allclose(ours, tensor.grad.numpy(), rtol=1e-5)
