"""The worked examples of the sources, as data for the tests of everything that computes a gradient.

Sources: the LMU lecture *Introduction to Deep Learning*, chapter 3 (XOR); the Toronto course CSC311, lecture
*The Backpropagation Algorithm* (two paths; the numbers are our own); an online course's chapter 8,
*Backpropagation* (two passes, with our own numbers; vanishing gradients). The numbers are those of float64
arithmetic, `SLIDE` apart.
"""

from dataclasses import dataclass, field

import numpy as np


def array(values) -> np.ndarray:
    """A float64 array that no test can change under another's feet."""
    result = np.array(values, dtype=np.float64)
    result.flags.writeable = False
    return result


@dataclass(frozen=True)
class WorkedExample:
    """One observation's way through a network, with what the source states of it; layers m = 1..L."""

    weights: list[np.ndarray]  # W^(m) at index m-1, (D^(m-1), D^(m))
    biases: list[np.ndarray]
    activations: list[str]
    loss: str
    x: np.ndarray  # (1, D^(0))
    target: np.ndarray  # (1,)
    z: list[np.ndarray]  # z^(m) at index m-1, (D^(m),)
    a: dict[int, np.ndarray]  # a^(m) by m, where stated
    C: float
    deltas: list[np.ndarray]  # δ^(m) at index m-1, which for one observation is ∂C/∂b^(m) as well
    weight_gradients: dict[tuple[int, int, int], float]  # ∂C/∂W^(m)[j, k] by (m, j, k), where stated
    learning_rate: float = 0.0  # of one plain gradient step, and what stands after it
    weights_after: list[np.ndarray] = field(default_factory=list)
    biases_after: list[np.ndarray] = field(default_factory=list)
    output_after: float = 0.0
    C_after: float = 0.0


XOR = WorkedExample(
    weights=[array([[-0.07, 0.94], [0.22, 0.46]]), array([[-0.22], [0.58]])],
    biases=[array([-0.46, 0.10]), array([0.78])],
    activations=["sigmoid", "sigmoid"],
    loss="squared_error",
    x=array([[1, 0]]),
    target=array([1]),
    z=[array([-0.53, 1.04]), array([1.1270192881616912])],
    a={1: array([0.3705168880326052, 0.7388500060842489]), 2: array([0.7552883998903617])},
    C=0.02994188361410977,
    deltas=[array([0.00232079457146515, -0.00506169791955316]), array([-0.04522951472920882])],
    weight_gradients={
        (1, 0, 0): 0.00232079457146515,
        (1, 0, 1): -0.00506169791955316,
        (1, 1, 0): 0.0,  # the second input is 0
        (1, 1, 1): 0.0,
        (2, 0, 0): -0.01675829904469133,
        (2, 1, 0): -0.03341782723286356,
    },
    learning_rate=0.5,
    weights_after=[
        array([[-0.07116039728573259, 0.9425308489597766], [0.22, 0.46]]),
        array([[-0.21162085047765433], [0.5967089136164317]]),
    ],
    biases_after=[array([-0.4611603972857326, 0.10253084895977659]), array([0.8026147573646044])],
    output_after=0.7623814985063132,
    C_after=0.028231276126052616,
)

#: What the XOR slide prints. Its z^(2) = 1.1122 does not follow from its own numbers (they give 1.1270), and
#: what comes after inherits the slip; from its a^(2) the chain rule gives the gradients and update it prints.
SLIDE = {
    "a1": array([[0.3705, 0.7389]]),
    "a2": array([[0.7525]]),
    "C": 0.0306,
    "delta2": -0.2475 * 0.1862,
    "W2_gradient_first": -0.0171,
    "delta1_first": 0.0024,
    "W2_after": array([-0.2115, 0.5970]),
    "W1_row1_after": array([-0.0712, 0.9426]),
    "b1_after": array([-0.4612, 0.1026]),
    "b2_after": array([0.8030]),
}

TWO_PATHS = WorkedExample(
    weights=[
        array([[0.1, -0.2], [0.4, 0.3], [-0.5, 0.6]]),
        array([[0.7, -0.1], [0.2, 0.5]]),
        array([[0.8], [-0.6]]),
    ],
    biases=[array([0.05, -0.05]), array([0.1, -0.1]), array([0.2])],
    activations=["tanh", "tanh", "sigmoid"],
    loss="squared_error",
    x=array([[1, -1, 0.5]]),
    target=array([1]),
    z=[
        array([-0.5, -0.25]),
        array([-0.2724657425627486, -0.1762476154758536]),
        array([0.0919328669246226]),
    ],
    a={3: array([0.5229670432211282])},
    C=0.1137802209265965,
    deltas=[
        array([-0.05415029561135798, 0.0159059078978175]),
        array([-0.08847311054733095, 0.06923106686251013]),
        array([-0.1190066114300578]),
    ],
    weight_gradients={(2, 1, 0): 0.021668715893947785, (1, 2, 1): 0.007952953948908749},
)
#: ∂C/∂W^(1)[2, 1] of TWO_PATHS is the sum of what comes through unit 1 and through unit 2 of layer 2.
PATHS = (-0.008316603763457926, 0.016269557712366677)

TWO_PASSES = WorkedExample(
    weights=[array([[0.5, -0.4], [0.3, 0.8]]), array([[0.6], [-0.4]])],
    biases=[array([0, 0]), array([0.1])],
    activations=["sigmoid", "sigmoid"],
    loss="squared_error",
    x=array([[1, 0.5]]),
    target=array([0]),
    z=[array([0.65, 0]), array([0.29420627760409923])],
    a={1: array([0.6570104626734988, 0.5]), 2: array([0.5730255860586763])},
    C=0.1641791611389447,
    deltas=[array([0.01895633117806506, -0.01402006022173581]), array([0.14020060221735814])],
    weight_gradients={
        (1, 0, 0): 0.01895633117806506,
        (1, 0, 1): -0.01402006022173581,
        (1, 1, 0): 0.00947816558903253,
        (1, 1, 1): -0.00701003011086791,
        (2, 0, 0): 0.09211326252992964,
        (2, 1, 0): 0.07010030110867907,
    },
)

EXAMPLES = {"xor": XOR, "two paths": TWO_PATHS, "two passes": TWO_PASSES}

#: ∂a^(L)/∂z^(1) along a chain of sigmoid neurons, each at z = 0, by the number of layers L: σ′(0)^L = 0.25^L.
VANISHING = {3: 0.015625, 6: 0.000244140625}


def sigmoid_chain(n_layers: int) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Weights, biases and x of that chain: weight 1 everywhere, bias −0.5 after the first layer, x = 0."""
    weights = [array([[1]])] * n_layers
    return weights, [array([0])] + [array([-0.5])] * (n_layers - 1), array([[0]])
