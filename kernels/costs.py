"""The same gradient by four methods, of which only the last shares its work; and a chain of Jacobians from either end.

Everything is for one observation and in plain loops, all written alike, so that what differs is the method. Each
function returns how many multiplications it made of weights, activations, slopes and error signals: what is inside σ,
σ′ and the loss is not counted. A weight is W^(m)_jk, where j = D^(m-1) is the row of the biases, below which a is 1.
"""

from .activations import activate, multiply_by_slope
from .jit import njit
from .layers import ACTIVATION, BIASES, DELTA, ROW_WEIGHT, STRIDE, TARGET, WEIGHTS, WIDTH, A, Z
from .losses import output_error, total_loss
from .products import ONE
from .training import TYPES

FINITE_DIFFERENCES, CHAINS, FORWARD_MODE, BACKPROPAGATION, LOCAL_DERIVATIVES = range(5)
FROM_INPUT, FROM_LOSS = range(2)
CUBE_ROOT_OF_EPSILON = 6e-6  # of float64: where the two errors of a central difference, O(h²) and O(ε/h), are alike

#: The types of the entries' arguments: ``delta`` and ``dC_dx`` hold δ^(L) and ∂C/∂x, ``path`` a neuron of each layer,
#: ``vectors`` two times as many vectors, each as long as the widest layer, as there are inputs.
COSTS = {
    **TYPES,
    **dict.fromkeys(("delta", "dC_dx", "vectors"), TYPES["units"]),
    **dict.fromkeys(("x", "target"), TYPES["weights"]),
    **dict.fromkeys(("method", "side"), TYPES["rows"]),
    "path": TYPES["order"],
}


@njit
def _forward(layers, slopes, parameters, units):
    """z^(m) = a^(m-1) W^(m) + b^(m), a^(m) = σ^(m)(z^(m)), m = 1..L."""
    count = 0
    for m in range(1, len(layers)):
        depth, width, stride = layers[m - 1, WIDTH], layers[m, WIDTH], layers[m, STRIDE]
        a, z, w, b = layers[m - 1, A], layers[m, Z], layers[m, WEIGHTS], layers[m, BIASES]
        for k in range(width):
            units[z + k] = parameters[b + k]
        for j in range(depth):
            for k in range(width):
                units[z + k] += units[a + j] * parameters[w + j * stride + k]
        count += depth * width
        activate(layers[m, ACTIVATION], slopes[m], units, z, layers[m, A], stride, ONE, width)
    return count


@njit
def _loss(layers, slopes, units, target, loss, loss_parameter):
    """C, and δ^(L) where it belongs."""
    last = len(layers) - 1
    for k in range(layers[last, WIDTH]):
        units[layers[last, TARGET] + k] = target[k]
    units[layers[last, ROW_WEIGHT]] = 1.0
    output_error(layers, loss, loss_parameter, slopes[last], units, ONE)
    return total_loss(layers, units, ONE, 0.0)


@njit
def _finite_differences(layers, slopes, parameters, gradients, units, target, loss, loss_parameter):
    """∂C/∂θ = (C(θ + h) − C(θ − h)) / 2h: two forward passes a parameter."""
    count = 0
    for m in range(1, len(layers)):
        for j in range(layers[m - 1, WIDTH] + 1):
            for k in range(layers[m, WIDTH]):
                at = layers[m, WEIGHTS] + j * layers[m, STRIDE] + k
                value = parameters[at]
                h = CUBE_ROOT_OF_EPSILON * max(1.0, abs(value))
                parameters[at] = value + h
                count += _forward(layers, slopes, parameters, units)
                above = _loss(layers, slopes, units, target, loss, loss_parameter)
                parameters[at] = value - h
                count += _forward(layers, slopes, parameters, units)
                below = _loss(layers, slopes, units, target, loss, loss_parameter)
                gradients[at] = (above - below) / ((value + h) - (value - h))
                parameters[at] = value
    return count


@njit
def _local_derivatives(layers, slopes, units, delta):
    """σ′(z^(m)) of the hidden layers in place of δ^(m), and δ^(L) to ``delta``."""
    last = len(layers) - 1
    for k in range(layers[last, WIDTH]):
        delta[k] = units[layers[last, DELTA] + k]
    for m in range(1, last):
        z, a, slope, width = layers[m, Z], layers[m, A], layers[m, DELTA], layers[m, WIDTH]
        for k in range(width):
            units[slope + k] = 1.0
        multiply_by_slope(layers[m, ACTIVATION], slopes[m], units, z, a, slope, layers[m, STRIDE], ONE, width)


@njit
def _next_path(layers, path, m):
    """Go on to the next path upwards from neuron path[m] of layer m; return False after the last, back at the first."""
    for i in range(len(layers) - 1, m, -1):
        path[i] += 1
        if path[i] < layers[i, WIDTH]:
            return True
        path[i] = 0
    return False


@njit
def _chains(layers, parameters, gradients, units, delta, path):
    """∂C/∂W^(m)_jk = Σ a_j σ′(z_k) W_kl σ′(z_l) … δ^(L), a product for each path from neuron k to an output l."""
    last, count = len(layers) - 1, 0
    for m in range(1, last + 1):
        for j in range(layers[m - 1, WIDTH] + 1):
            a = units[layers[m - 1, A] + j] if j < layers[m - 1, WIDTH] else 1.0
            for k in range(layers[m, WIDTH]):
                path[m] = k
                total, more = 0.0, True
                while more:
                    product = a
                    for i in range(m, last):
                        product *= units[layers[i, DELTA] + path[i]]
                        product *= parameters[layers[i + 1, WEIGHTS] + path[i] * layers[i + 1, STRIDE] + path[i + 1]]
                    total += product * delta[path[last]]
                    count += 2 * (last - m) + 1
                    more = _next_path(layers, path, m)
                gradients[layers[m, WEIGHTS] + j * layers[m, STRIDE] + k] = total
        path[m] = 0  # where the paths from the layers below begin
    return count


@njit
def _onwards(layers, m, parameters, units, vectors, source, result):
    """How z^(m+1) changes as z^(m) does: ż^(m+1) = (ż^(m) ⊙ σ′(z^(m))) W^(m+1)."""
    depth, width, stride = layers[m, WIDTH], layers[m + 1, WIDTH], layers[m + 1, STRIDE]
    slope, w = layers[m, DELTA], layers[m + 1, WEIGHTS]
    for k in range(width):
        vectors[result + k] = 0.0
    for j in range(depth):
        tangent = vectors[source + j] * units[slope + j]
        for k in range(width):
            vectors[result + k] += tangent * parameters[w + j * stride + k]
    return depth + depth * width


@njit
def _back(layers, m, parameters, units, vectors, source, result):
    """δ^(m) = (W^(m+1) δ^(m+1)) ⊙ σ′(z^(m)); for m = 0 without the slope, ∂C/∂x."""
    width, depth, stride, w = layers[m, WIDTH], layers[m + 1, WIDTH], layers[m + 1, STRIDE], layers[m + 1, WEIGHTS]
    for j in range(width):
        total = 0.0
        for k in range(depth):
            total += parameters[w + j * stride + k] * vectors[source + k]
        vectors[result + j] = total * units[layers[m, DELTA] + j] if m > 0 else total
    return width * depth + (width if m > 0 else 0)


@njit
def _forward_mode(layers, parameters, gradients, units, delta, vectors):
    """For each parameter θ the tangents ∂z/∂θ from its layer on, and ∂C/∂θ = ∂z^(L)/∂θ · δ^(L)."""
    last, count, half = len(layers) - 1, 0, len(vectors) // 2
    for m in range(1, last + 1):
        for j in range(layers[m - 1, WIDTH] + 1):
            a = units[layers[m - 1, A] + j] if j < layers[m - 1, WIDTH] else 1.0
            for k in range(layers[m, WIDTH]):
                source, result = 0, half
                for i in range(layers[m, WIDTH]):
                    vectors[i] = a if i == k else 0.0
                for i in range(m, last):
                    count += _onwards(layers, i, parameters, units, vectors, source, result)
                    source, result = result, source
                total = 0.0
                for i in range(layers[last, WIDTH]):
                    total += vectors[source + i] * delta[i]
                count += layers[last, WIDTH]
                gradients[layers[m, WEIGHTS] + j * layers[m, STRIDE] + k] = total
    return count


@njit
def _backpropagation(layers, parameters, gradients, units, delta, vectors):
    """δ^(m) from δ^(m+1), once for all the weights below it; ∂C/∂W^(m)_jk = a_j δ_k and ∂C/∂b^(m)_k = δ_k."""
    last, count, source, result = len(layers) - 1, 0, 0, len(vectors) // 2
    for k in range(layers[last, WIDTH]):
        vectors[k] = delta[k]
    for m in range(last, 0, -1):
        width, w, stride = layers[m, WIDTH], layers[m, WEIGHTS], layers[m, STRIDE]
        for j in range(layers[m - 1, WIDTH]):
            a = units[layers[m - 1, A] + j]
            for k in range(width):
                gradients[w + j * stride + k] = a * vectors[source + k]
        for k in range(width):
            gradients[layers[m, BIASES] + k] = vectors[source + k]
        count += layers[m - 1, WIDTH] * width
        if m > 1:
            count += _back(layers, m - 1, parameters, units, vectors, source, result)
            source, result = result, source
    return count


@njit(entry=COSTS)
def gradient(
    layers, slopes, parameters, gradients, units, x, target, loss, loss_parameter, delta, vectors, path, method
):
    """Overwrite ``gradients`` by ∂C/∂θ, by one of the methods; return the multiplications.

    LOCAL_DERIVATIVES makes only what the products of Jacobians need: σ′(z) in ``units`` and ``delta``, as all methods
    but FINITE_DIFFERENCES leave them.
    """
    for j in range(len(x)):
        units[layers[0, A] + j] = x[j]
    if method == FINITE_DIFFERENCES:
        return _finite_differences(layers, slopes, parameters, gradients, units, target, loss, loss_parameter)
    count = _forward(layers, slopes, parameters, units)
    _loss(layers, slopes, units, target, loss, loss_parameter)
    _local_derivatives(layers, slopes, units, delta)
    if method == CHAINS:
        count += _chains(layers, parameters, gradients, units, delta, path)
    elif method == FORWARD_MODE:
        count += _forward_mode(layers, parameters, gradients, units, delta, vectors)
    elif method == BACKPROPAGATION:
        count += _backpropagation(layers, parameters, gradients, units, delta, vectors)
    return count


@njit(entry=COSTS)
def input_gradient(layers, parameters, units, delta, vectors, dC_dx, side):
    """Overwrite ``dC_dx`` by the product of the layers' Jacobians and δ^(L), from one side; return the multiplications.

    From the input it is a product of matrices, (D^(0), D^(m)), until the last factor; from the loss every product is
    one of a vector and a matrix.
    """
    last, count, inputs, half = len(layers) - 1, 0, layers[0, WIDTH], len(vectors) // 2
    if side == FROM_LOSS:
        source, result = 0, half
        for k in range(layers[last, WIDTH]):
            vectors[k] = delta[k]
        for m in range(last - 1, -1, -1):
            count += _back(layers, m, parameters, units, vectors, source, result)
            source, result = result, source
        for j in range(inputs):
            dC_dx[j] = vectors[source + j]
        return count
    row = half // inputs
    source, result = 0, half
    for j in range(inputs):
        for k in range(layers[1, WIDTH]):
            vectors[j * row + k] = parameters[layers[1, WEIGHTS] + j * layers[1, STRIDE] + k]
    for m in range(1, last):
        for j in range(inputs):
            count += _onwards(layers, m, parameters, units, vectors, source + j * row, result + j * row)
        source, result = result, source
    for j in range(inputs):
        total = 0.0
        for k in range(layers[last, WIDTH]):
            total += vectors[source + j * row + k] * delta[k]
        dC_dx[j] = total
    return count + inputs * layers[last, WIDTH]
