"""The passes over a network, and the entry points that Python calls.

An entry gets plain arrays and numbers: ``layers`` (the layer table), ``slopes`` (float64, the parameter of each
layer's activation), ``parameters``, ``gradients``, ``moments`` and ``units`` as ``layers.py`` describes them,
``X`` (n, D^(0)), ``targets`` (n, D^(L)) or ``labels`` (n,), the other one being empty, ``weights`` (n,) or empty, and
``order``, the order in which rows are taken (empty: as they stand).

``train`` may run in several threads at once: each takes some rows of a batch through the network and back, and updates
some rows of each W. docs/threads.md says why every number comes out the same. A thread's ``layers`` has a scratch of
its own, and ``share`` is a layer table that the thread fills: the same network, with the thread's rows as its batch.
"""

import math

import numpy as np
from numba import types

from .activations import multiply_by_slope
from .barrier import (
    OF_BATCH,
    OF_WEIGHTS,
    WHOLE,
    WRONG_INPUTS,
    WRONG_PARAMETERS,
    WRONG_TARGETS,
    border,
    note_speed,
    share_of,
    wait,
)
from .batches import all_finite, gather_inputs, gather_targets, total_weight, weigh_rows
from .dropout import drop, drop_deltas
from .jit import njit
from .layers import (
    ACTIVATION,
    DELTA,
    FROZEN,
    HIGH,
    LOW,
    NUMBERS,
    OUT,
    PART,
    ROW_LOSS,
    ROW_WEIGHT,
    STRIDE,
    TARGET,
    WEIGHTS,
    WIDTH,
    A,
    Z,
)
from .losses import output_error, total_loss
from .online import delta_row, forward_row, update_row
from .products import (
    DEPTH_BLOCK,
    NONE,
    ONE,
    delta_product,
    finish,
    forward_product,
    middle,
    weight_gradient,
    weight_update,
)
from .random import permute
from .schedules import WATCHING, watch
from .simd import TILE_ROWS, View, flush_subnormals, lanes, load, restore_subnormals, store, ticks
from .updates import CLIP_NORM, rates_of_step, scale, sum_of_squares, update

# What ``train`` keeps in ``progress`` (int64) from one call to the next.
EPOCH = 0  # epochs ended in this fit
POSITION = 1  # observations seen in the current epoch
STEPS = 2  # updates of this optimizer so far
GOOD_STEPS = 3  # the same at the beginning of the epoch
COUNTER = 4  # the generator's position
STATUS = 5  # one of the following
# As int64, so that a variable may hold any of them. Where another thread has failed a step is halted, and that is all.
GOOD, BAD_PARAMETERS, BAD_INPUT, BAD_TARGET, DIVERGED, HALTED = np.arange(6)
PROGRESS = 6

#: Rows of a batch are shared out by so many, rows of W, and numbers of which only the sum or a copy is wanted.
GRAIN, TILE, BLOCK = np.array([4, TILE_ROWS, 1024])

_NOTHING = np.uint64(0)  # the generator's key and position where nothing is drawn


def _array(dimensions, dtype=None, readonly=False):
    return lambda number: View(dtype or number, dimensions, mutable=not readonly)


#: The types of the entries' arguments, T being the network's dtype. Data may be read-only.
TYPES = {
    **dict.fromkeys(("parameters", "gradients", "moments", "snapshot", "units"), _array(1)),
    **dict.fromkeys(("slopes", "hyper", "losses", "costs"), _array(1, types.float64)),
    **dict.fromkeys(("order", "progress", "sync"), _array(1, types.int64)),
    **dict.fromkeys(("X", "targets"), _array(2, readonly=True)),
    **dict.fromkeys(
        ("rows", "capacity", "batch", "loss", "optimizer", "number", "epochs", "steps", "thread", "threads"),
        lambda number: types.int64,
    ),
    **dict.fromkeys(("low", "high", "total", "loss_parameter"), lambda number: types.float64),
    **dict.fromkeys(("layers", "share"), _array(2, types.int64)),
    "labels": _array(1, types.int64, readonly=True),
    "weights": _array(1, readonly=True),
    "outputs": _array(2),
    "key": lambda number: types.uint64,
}


@njit
def forward_pass(layers, first, slopes, parameters, units, rows, key, drawn):
    """z^(m) = out^(m-1) W^(m) + b^(m), a^(m) = σ^(m)(z^(m)) for m = first..L; without dropout out^(m) is a^(m)."""
    for m in range(first, len(layers)):
        if m > 1 and layers[m - 1, OUT] != layers[m - 1, A]:
            drop(layers, m - 1, key, drawn, units, rows)
        forward_product(layers, m, NONE, layers[m - 1, WIDTH], slopes[m], parameters, units, rows)


@njit
def outputs_of(layers, slopes, parameters, units, rows):
    """The same without dropout, and quicker for a single observation."""
    if rows == 1:
        for m in range(1, len(layers)):
            forward_row(layers, m, slopes[m], parameters, units)
    else:
        forward_pass(layers, ONE, slopes, parameters, units, rows, _NOTHING, _NOTHING)


@njit
def backward_pass(layers, slopes, parameters, gradients, units, rows):
    """From δ^(L): every ∂C/∂W^(m), ∂C/∂b^(m) and δ^(m) = (δ^(m+1) W^(m+1)ᵀ) ⊙ σ^(m)′(z^(m))."""
    for m in range(len(layers) - 1, 0, -1):
        weight_gradient(layers, m, NONE, layers[m - 1, WIDTH], gradients, units, rows, False)
        if m > 1:
            delta_product(layers, m - 1, slopes[m - 1], parameters, units, rows, rows)


@njit
def delta_pass(layers, slopes, parameters, units, rows, batch):
    """From δ^(L), every δ^(m) of some rows of a batch that an update needs."""
    for m in range(len(layers) - 2, layers[0, FROZEN], -1):
        delta_product(layers, m, slopes[m], parameters, units, rows, batch)
        if layers[m, OUT] != layers[m, A]:
            drop_deltas(layers, m, units, rows)


@njit
def in_halves(layers, part, threads):
    """Whether the sum z^(1) is taken in two halves by two groups of threads: where W^(1) has more rows than there are
    observations, each thread then reads only those of them that it updates, which stay in its core's cache."""
    return threads % 2 == 0 and part < layers[0, WIDTH] and middle(layers, ONE) < layers[0, WIDTH]


@njit(inline=False)
def share_out(layers, thread, threads, sync):
    """Note in the thread's table which rows of a batch are its own, and which rows of each W that is not frozen."""
    layers[0, LOW], layers[0, HIGH] = share_of(sync, OF_BATCH, thread, threads)
    low, high = share_of(sync, OF_WEIGHTS, thread, threads)
    for m in range(1, len(layers)):
        depth, start, stop, whole = layers[m - 1, WIDTH], low, high, WHOLE
        if m == 1 and in_halves(layers, layers[0, PART], threads):
            start, stop, whole = thread, thread + 1, threads
        if layers[m, FROZEN] != 0:
            depth = NONE
        layers[m, LOW] = border(depth, TILE, start, whole)
        layers[m, HIGH] = border(depth, TILE, stop, whole)


@njit
def gradient_pass(layers, gradients, units, rows, begun):
    """Add some rows of a batch to the gradients of the thread's rows of every W^(m); the first ones overwrite."""
    for m in range(len(layers) - 1, 0, -1):
        if layers[m, LOW] < layers[m, HIGH]:
            weight_gradient(layers, m, layers[m, LOW], layers[m, HIGH], gradients, units, rows, begun)


@njit
def update_pass(layers, optimizer, rates, hyper, parameters, gradients, moments, units, rows, summed, thread, threads,
                sync):  # fmt: skip
    """Update the thread's rows of every W^(m), and b^(m) with the last of them: from the gradients where these are
    ``summed`` up, else from a and δ of the whole batch.

    Many observations are summed up in ``gradients``; of few, a layer's gradient never exists as a whole, unless its
    norm is to be clipped.
    """
    clipped = hyper[CLIP_NORM] != math.inf
    if (rows > DEPTH_BLOCK or clipped) and not summed:  # which is handed on, because Numba makes a version for False
        gradient_pass(layers, gradients, units, rows, summed)
        summed = True
    if clipped:
        update_clipped(layers, optimizer, rates, hyper, parameters, gradients, moments, thread, threads, sync)
        return
    for m in range(len(layers) - 1, 0, -1):
        first, end = layers[m, LOW], layers[m, HIGH]
        if first == end:
            continue
        if summed:
            update_layer(layers, m, first, end, optimizer, rates, hyper, parameters, gradients, moments)
        else:
            weight_update(layers, m, first, end, optimizer, rates, hyper, parameters, moments, units, rows)


@njit
def update_layer(layers, m, first, end, optimizer, rates, hyper, parameters, gradients, moments):
    """Update rows first..end-1 of W^(m), and with the last one b^(m), from the stored gradients."""
    stride, rows = layers[m, STRIDE], end - first
    w, last = layers[m, WEIGHTS] + first * stride, np.int64(end == layers[m - 1, WIDTH])
    update(optimizer, rates, hyper, gradients, w, stride, parameters, w, stride, moments,
           rows, rows + last, stride)  # fmt: skip


@njit(apart=True)
def update_clipped(layers, optimizer, rates, hyper, parameters, gradients, moments, thread, threads, sync):
    """Update the thread's rows of every layer from the stored gradients, g · limit / ‖g‖ where ‖g‖ is above the limit.

    After the gradients, ``gradients`` has the sum of squares of each of their rows, and ‖g‖ is taken from these in
    their order.
    """
    row = len(parameters)
    for m in range(1, len(layers)):
        first, end = layers[m, LOW], layers[m, HIGH]
        for j in range(first, end + (end == layers[m - 1, WIDTH])):  # b^(m) is the row after the last one of W^(m)
            at = layers[m, WEIGHTS] + j * layers[m, STRIDE]
            gradients[row + j] = sum_of_squares(gradients, at, at + layers[m, STRIDE])
        if layers[m, FROZEN] != 0 and thread == 0:
            for j in range(layers[m - 1, WIDTH] + 1):
                gradients[row + j] = 0
        row += layers[m - 1, WIDTH] + 1
    if threads > 1 and not wait(sync, threads):
        return
    total = 0.0
    for j in range(len(parameters), row):
        total += gradients[j]
    norm = math.sqrt(total)
    for m in range(1, len(layers)):
        first, end = layers[m, LOW], layers[m, HIGH]
        if first == end:
            continue
        if norm > hyper[CLIP_NORM]:
            w, stride, last = layers[m, WEIGHTS], layers[m, STRIDE], end + (end == layers[m - 1, WIDTH])
            scale(gradients, hyper[CLIP_NORM] / norm, w + first * stride, w + last * stride)
        update_layer(layers, m, first, end, optimizer, rates, hyper, parameters, gradients, moments)


@njit(apart=True)
def finite(parameters, thread, threads, sync):
    """Whether all parameters are finite, of which each thread looks at some."""
    first, end = border(len(parameters), BLOCK, thread, threads), border(len(parameters), BLOCK, thread + 1, threads)
    if not all_finite(parameters, first, end):
        sync[WRONG_PARAMETERS] = 1
    return (threads == 1 or wait(sync, threads)) and sync[WRONG_PARAMETERS] == 0


@njit(apart=True)
def keep(parameters, moments, snapshot, thread, threads):
    """Copy θ and the moments, in this order, to ``snapshot``, of which each thread copies some."""
    first, end = border(len(snapshot), BLOCK, thread, threads), border(len(snapshot), BLOCK, thread + 1, threads)
    for i in range(first, min(end, len(parameters)), lanes(parameters)):
        store(snapshot, i, load(parameters, i))
    for i in range(max(first, len(parameters)), end, lanes(moments)):
        store(snapshot, i, load(moments, i - len(parameters)))


@njit
def take_share(layers, share, first):
    """Make ``share`` the table of the rows of a batch from ``first`` on."""
    for m in range(len(layers)):
        offset = first * layers[m, STRIDE]
        for name in (Z, A, DELTA, TARGET, OUT):
            share[m, name] = layers[m, name] + offset
        share[m, ROW_WEIGHT], share[m, ROW_LOSS] = layers[m, ROW_WEIGHT] + first, layers[m, ROW_LOSS] + first


@njit(apart=True)
def learn_rows(layers, slopes, parameters, moments, units, X, targets, labels, low, high, weights, order, begin, end,
               loss, loss_parameter, optimizer, hyper, number, losses, epoch):  # fmt: skip
    """Steps of one observation each, rows begin..end-1 of the order, for as long as all is well.

    Returns where it stopped, the number of updates, a status and the last loss.
    """
    n, last, cost = len(X), len(layers) - 1, 0.0
    for at in range(begin, end):
        if not gather_inputs(layers, X, order, at, ONE, NONE, layers[0, WIDTH], units):
            return at, number, BAD_INPUT, cost
        for m in range(1, last + 1):
            forward_row(layers, m, slopes[m], parameters, units)
        if not gather_targets(layers, targets, labels, low, high, order, at, ONE, units):
            return at, number, BAD_TARGET, cost
        total = total_weight(weights, order, at, ONE)
        weigh_rows(layers, weights, total, order, at, ONE, units)
        output_error(layers, loss, loss_parameter, slopes[last], units, ONE)
        for m in range(last - 1, layers[0, FROZEN], -1):
            delta_row(layers, m, slopes[m], parameters, units)
        cost = total_loss(layers, units, ONE, 0.0)
        if not math.isfinite(cost):
            return at, number, DIVERGED, cost
        if total > 0:
            number += 1
            rates = rates_of_step(optimizer, hyper, number)
            for m in range(last, layers[0, FROZEN], -1):
                if layers[m, FROZEN] == 0:
                    update_row(layers, m, optimizer, rates, hyper, parameters, moments, units)
        losses[epoch] += cost / n
    return end, number, GOOD, cost


@njit
def learn_batch(layers, share, slopes, parameters, gradients, moments, units, X, targets, labels, low, high, weights,
                order, begin, end, key, counter, loss, loss_parameter, optimizer, hyper, number, thread, threads,
                sync):  # fmt: skip
    """A step: rows begin..end-1 of the order there and back, and the update.

    Returns the number of updates, a status and the loss. Random numbers are those before ``counter``.
    """
    numbers, last = layers[len(layers) - 1, NUMBERS], len(layers) - 1
    rows, done, cost, status = end - begin, 0, 0.0, GOOD
    total = total_weight(weights, order, begin, rows)
    clock = ticks()  # how long the thread works on rows of the batch and on rows of W, not how long it waits
    rows_there, time_there, time_update = 0, np.int64(0), np.int64(0)
    while done < rows and status == GOOD:
        part, here = min(layers[0, PART], rows - done), begin + done
        drawn = counter - (len(X) - here) * numbers
        # The thread's rows of this part of the batch, there and back. But where W^(1) has more rows than the part,
        # only those rows of it that the thread updates, its half of the sum z^(1), which stays with it: the others'
        # would come from another core at every step.
        first, until = border(part, GRAIN, layers[0, LOW], WHOLE), border(part, GRAIN, layers[0, HIGH], WHOLE)
        mine, start, m, half = layers, here + first, 1, middle(layers, ONE)
        lower, upper = 0, layers[0, WIDTH]
        halves = in_halves(layers, part, threads)
        if halves:
            lower, upper = (0, half) if 2 * thread < threads else (half, upper)
        if not gather_inputs(layers, X, order, here, part, lower, upper, units):
            sync[WRONG_INPUTS] = 1
        if layers[0, OUT] != layers[0, A]:
            drop(layers, NONE, key, np.uint64(drawn), units, part)
        if threads > 1:
            mine = share
            if halves:
                several = threads // 2
                low_row = border(part, GRAIN, thread % several, several)
                high_row = border(part, GRAIN, thread % several + 1, several)
                take_share(layers, share, low_row)
                forward_product(share, ONE, lower, upper, slopes[1], parameters, units, high_row - low_row)
                if not wait(sync, threads):
                    return number, HALTED, cost
                clock = ticks()
            take_share(layers, share, first)
            if halves:
                finish(share, ONE, slopes[1], units, until - first)
                m = 2
        forward_pass(mine, m, slopes, parameters, units, until - first, key, np.uint64(drawn + first * numbers))
        if not gather_targets(mine, targets, labels, low, high, order, start, until - first, units):
            sync[WRONG_TARGETS] = 1
        weigh_rows(mine, weights, total, order, start, until - first, units)
        output_error(mine, loss, loss_parameter, slopes[last], units, until - first)
        delta_pass(mine, slopes, parameters, units, until - first, rows)
        if threads > 1:
            rows_there, time_there = rows_there + until - first, time_there + ticks() - clock
            if not wait(sync, threads):
                return number, HALTED, cost
            clock = ticks()
        cost = total_loss(layers, units, part, cost)
        if sync[WRONG_INPUTS] != 0:
            status = BAD_INPUT
        elif sync[WRONG_TARGETS] != 0:
            status = BAD_TARGET
        elif not math.isfinite(cost):
            status = DIVERGED
        elif part < rows:
            gradient_pass(layers, gradients, units, part, done > 0)
            if threads > 1:
                time_update += ticks() - clock
                if not wait(sync, threads):
                    return number, HALTED, cost
                clock = ticks()
        done += part
    if status != GOOD:
        return number, status, cost
    # The thread's rows of each W.
    if total > 0:
        number += 1
        rates = rates_of_step(optimizer, hyper, number)
        update_pass(layers, optimizer, rates, hyper, parameters, gradients, moments, units, rows,
                    layers[0, PART] < rows, thread, threads, sync)  # fmt: skip
    if threads > 1:
        if total > 0:
            numbers_of_w = 0
            for m in range(1, last + 1):
                numbers_of_w += (layers[m, HIGH] - layers[m, LOW]) * layers[m, STRIDE]
            note_speed(sync, OF_BATCH, thread, rows_there, time_there)
            note_speed(sync, OF_WEIGHTS, thread, numbers_of_w, time_update + ticks() - clock)
        if not wait(sync, threads):  # for the update, and for those who still sum up the loss
            return number, HALTED, cost
        share_out(layers, thread, threads, sync)
    return number, GOOD, cost


@njit(entry=TYPES)
def forward(layers, slopes, parameters, units, X, order):
    """Fill z and a of every layer for the rows of X; return whether X was finite."""
    good = gather_inputs(layers, X, order, 0, len(X), NONE, layers[0, WIDTH], units)
    if good:
        outputs_of(layers, slopes, parameters, units, len(X))
    return good


@njit(entry=TYPES)
def backward(layers, slopes, parameters, gradients, units, rows, targets, labels, low, high, weights, order, loss,
             loss_parameter):  # fmt: skip
    """Fill δ and the gradients of the last ``forward``; return C, NaN where the targets are bad."""
    if not gather_targets(layers, targets, labels, low, high, order, 0, rows, units):
        return np.nan
    weigh_rows(layers, weights, total_weight(weights, order, 0, rows), order, 0, rows, units)
    output_error(layers, loss, loss_parameter, slopes[len(slopes) - 1], units, rows)
    backward_pass(layers, slopes, parameters, gradients, units, rows)
    return total_loss(layers, units, rows, 0.0)


@njit(entry=TYPES)
def backward_from_delta(layers, slopes, parameters, gradients, units, rows):
    """The same from ∂C/∂a^(L), which stands where δ^(L) will be."""
    last = len(layers) - 1
    z, a, delta, stride = layers[last, Z], layers[last, A], layers[last, DELTA], layers[last, STRIDE]
    width = layers[last, WIDTH]
    multiply_by_slope(layers[last, ACTIVATION], slopes[last], units, z, a, delta, stride, rows, width)
    backward_pass(layers, slopes, parameters, gradients, units, rows)


@njit(entry=TYPES)
def step(layers, optimizer, hyper, number, parameters, gradients, moments, snapshot, sync):
    """Update number ``number`` from the stored gradients, after which ``snapshot`` holds the state before it.

    Returns GOOD, BAD_PARAMETERS, when nothing has been changed, or DIVERGED where a parameter is not finite after it.
    """
    if not all_finite(parameters, NONE, len(parameters)):
        return BAD_PARAMETERS
    keep(parameters, moments, snapshot, NONE, ONE)
    subnormals = flush_subnormals()
    rates = rates_of_step(optimizer, hyper, number)
    share_out(layers, NONE, ONE, sync)
    if hyper[CLIP_NORM] != math.inf:
        update_clipped(layers, optimizer, rates, hyper, parameters, gradients, moments, NONE, ONE, sync)
    else:
        for m in range(1, len(layers)):
            first, end = layers[m, LOW], layers[m, HIGH]
            if first < end:
                update_layer(layers, m, first, end, optimizer, rates, hyper, parameters, gradients, moments)
    restore_subnormals(subnormals)
    return GOOD if all_finite(parameters, NONE, len(parameters)) else DIVERGED


@njit(entry=TYPES)
def infer(layers, slopes, parameters, units, capacity, low, high, order, loss, loss_parameter, X, outputs, targets,
          labels, weights, total, costs, thread, threads):  # fmt: skip
    """Outputs of X into ``outputs`` (unless it is empty), and the loss of each chunk of ``capacity`` rows into
    ``costs`` where targets are given; each of several threads takes its chunks in turn.

    Returns GOOD, BAD_INPUT or BAD_TARGET.
    """
    last = len(layers) - 1
    width, stride, a = layers[last, WIDTH], layers[last, STRIDE], layers[last, A]
    for start in range(thread * capacity, len(X), threads * capacity):
        rows = min(capacity, len(X) - start)
        if not gather_inputs(layers, X, order, start, rows, NONE, layers[0, WIDTH], units):
            return BAD_INPUT
        outputs_of(layers, slopes, parameters, units, rows)
        if len(outputs) > 0:
            for i in range(rows):
                for k in range(width):
                    outputs[start + i, k] = units[a + i * stride + k]
        if len(targets) > 0 or len(labels) > 0:
            if not gather_targets(layers, targets, labels, low, high, order, start, rows, units):
                return BAD_TARGET
            weigh_rows(layers, weights, total, order, start, rows, units)
            output_error(layers, loss, loss_parameter, slopes[last], units, rows)
            costs[start // capacity] = total_loss(layers, units, rows, 0.0)
    return GOOD


@njit(entry=TYPES)
def train(layers, share, slopes, parameters, gradients, moments, snapshot, units, low, high, key, loss, loss_parameter,
          optimizer, hyper, progress, X, targets, labels, weights, order, batch, losses, epochs, steps, thread,
          threads, sync):  # fmt: skip
    """Train until ``epochs`` epochs are done, or for ``steps`` steps, whichever comes first; return the last loss.

    ``progress`` says where to go on and is brought up to date; ``losses[e]`` gathers the loss of epoch e, and an empty
    ``order`` stands for rows in their own order. On a status other than GOOD the step that failed has updated nothing,
    and ``snapshot`` holds the state at the beginning of its epoch.
    """
    subnormals = flush_subnormals()
    n, numbers = len(X), layers[len(layers) - 1, NUMBERS]
    alone = batch == 1 and threads == 1 and numbers == 0 and hyper[CLIP_NORM] == math.inf
    if not alone:
        share_out(layers, thread, threads, sync)
    epoch, position, number = progress[EPOCH], progress[POSITION], progress[STEPS]
    counter, good_number, status, cost = progress[COUNTER], progress[GOOD_STEPS], GOOD, 0.0
    if epoch == 0 and position == 0 and not finite(parameters, thread, threads, sync):
        status = BAD_PARAMETERS
    while status == GOOD and epoch < epochs and steps > 0:
        if position == 0:
            keep(parameters, moments, snapshot, thread, threads)
            good_number = number
        if position == 0 and len(order) > 0:
            if thread == 0:
                permute(order, key, np.uint64(counter))
            counter += n
            if threads > 1 and not wait(sync, threads):
                break
        if position == 0:
            counter += n * numbers
        if not alone:
            end = min(n, position + batch)
            number, status, cost = learn_batch(
                layers, share, slopes, parameters, gradients, moments, units, X, targets, labels, low, high, weights,
                order, position, end, key, counter, loss, loss_parameter, optimizer, hyper, number, thread, threads,
                sync)  # fmt: skip
            at = position
            if status == GOOD:
                at = end
                steps -= 1
                if thread == 0:
                    losses[epoch] += cost * (end - position) / n
        else:
            end = min(n, position + steps)
            at, number, status, cost = learn_rows(
                layers, slopes, parameters, moments, units, X, targets, labels, low, high, weights, order, position,
                end, loss, loss_parameter, optimizer, hyper, number, losses, epoch)  # fmt: skip
            steps -= at - position
        position = at
        if status != GOOD:
            break
        if position == n:
            if finite(parameters, thread, threads, sync):
                if thread == 0 and hyper[WATCHING] != 0:
                    watch(hyper, losses[epoch])
                epoch, position = epoch + 1, 0
            else:
                status = DIVERGED
    if thread == 0:
        progress[EPOCH], progress[POSITION], progress[STEPS] = epoch, position, number
        progress[GOOD_STEPS], progress[COUNTER] = good_number, counter
        progress[STATUS] = GOOD if status == HALTED else status
    restore_subnormals(subnormals)
    return cost
