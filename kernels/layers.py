"""The layer table: what a kernel knows of a network.

One row for each layer m = 0..L (0 is the input), int64, made by ``fastprop.buffers``. Offsets and strides count
elements. All of a network's numbers live in two flat arrays: ``parameters`` (with ``gradients`` and the optimizer's
moments laid out in the same way) and ``units`` (z, a, δ of a batch). A row of W^(m) and of z, a, δ of layer m takes
``STRIDE`` elements, of which the first ``WIDTH`` count and the rest are padding: zero in parameters and in δ.
"""

WIDTH = 0  # D^(m)
STRIDE = 1  # from one row to the next, a whole number of vectors
WEIGHTS = 2  # offset of W^(m) in parameters: D^(m-1) rows
BIASES = 3  # offset of b^(m) in parameters
Z = 4  # offset of z^(m) in units
A = 5  # offset of a^(m) in units
DELTA = 6  # offset of δ^(m) in units
ACTIVATION = 7  # code of σ^(m)
TARGET = 8  # offset of the targets t in units (row L)
ROW_WEIGHT = 9  # offset in units of the weight of each observation in C (row L)
ROW_LOSS = 10  # offset in units of what each observation adds to C (row L)
SCRATCH = 11  # offset in units of the products' scratch (row 0)
OUT = 12  # offset in units of what layer m+1 reads: A, or where dropout writes
DROPOUT = 13  # a unit is dropped where 32 random bits are below this
NUMBERS = 14  # of the random numbers of an observation, the first for this layer; in row L their count
FROZEN = 15  # 1 where W^(m) and b^(m) are not updated; in row 0 the number of such layers before the first other one
PART = 16  # rows of a batch that go through the network together (row 0)
LOW, HIGH = 17, 18  # rows LOW..HIGH-1 of W^(m) are the thread's to update; in row 0 the same of a batch, of WHOLE rows
COLUMNS = 19
