"""The three matrix products of backpropagation, for one layer. All three overwrite their result.

Every sum runs in an order fixed by shapes alone, so a row's outputs have the same bits at any position and batch size.
"""

from .jit import njit
from .layers import A, BIASES, DELTA, STRIDE, WEIGHTS, WIDTH, Z


@njit
def forward_product(layers, m, parameters, units, rows):
    """z^(m) = a^(m-1) W^(m) + b^(m), summed over the inputs j in their order."""
    depth, a_stride, a = layers[m - 1, WIDTH], layers[m - 1, STRIDE], layers[m - 1, A]
    stride, w, b, z = layers[m, STRIDE], layers[m, WEIGHTS], layers[m, BIASES], layers[m, Z]
    for i in range(rows):
        row = z + i * stride
        for k in range(stride):
            units[row + k] = parameters[b + k]
        for j in range(depth):
            a_ij = units[a + i * a_stride + j]
            for k in range(stride):
                units[row + k] += a_ij * parameters[w + j * stride + k]


@njit
def weight_gradient(layers, m, gradients, units, rows):
    """∂C/∂W^(m) = a^(m-1)ᵀ δ^(m) and ∂C/∂b^(m) = Σ_i δ^(m), summed over the observations i in their order."""
    depth, a_stride, a = layers[m - 1, WIDTH], layers[m - 1, STRIDE], layers[m - 1, A]
    stride, w, b, delta = layers[m, STRIDE], layers[m, WEIGHTS], layers[m, BIASES], layers[m, DELTA]
    for j in range(depth):
        row = w + j * stride
        gradients[row : row + stride] = 0
        for i in range(rows):
            a_ij = units[a + i * a_stride + j]
            for k in range(stride):
                gradients[row + k] += a_ij * units[delta + i * stride + k]
    gradients[b : b + stride] = 0
    for i in range(rows):
        for k in range(stride):
            gradients[b + k] += units[delta + i * stride + k]


@njit
def delta_product(layers, m, parameters, units, rows):
    """∂C/∂a^(m) = δ^(m+1) W^(m+1)ᵀ, written to where δ^(m) will be; the padding becomes 0."""
    width, stride, delta = layers[m, WIDTH], layers[m, STRIDE], layers[m, DELTA]
    depth, next_stride = layers[m + 1, WIDTH], layers[m + 1, STRIDE]
    w, next_delta = layers[m + 1, WEIGHTS], layers[m + 1, DELTA]
    for i in range(rows):
        for j in range(stride):
            units[delta + i * stride + j] = 0
        for j in range(width):
            total = units[delta] * 0
            for k in range(depth):
                total += units[next_delta + i * next_stride + k] * parameters[w + j * next_stride + k]
            units[delta + i * stride + j] = total
