"""The command line: what can be asked for, and how a refusal reads. `tasks` and `machine` do the work.

Nothing heavy is imported before it is known what to do, so that ``fastprop --help`` answers at once.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

DESCRIPTION = """\
Backpropagation in compiled kernels: train multilayer perceptrons on a CPU.

  fastprop train digits    learn to read 1,797 handwritten digits, in seconds
  fastprop train xor       learn XOR with two hidden neurons, and see its truth table
  fastprop inspect ...     say what is in a saved model
  fastprop predict ...     write the outputs of a saved model for the rows of a file
  fastprop gradcheck ...   compare the gradient of a saved model with differences of its loss
  fastprop export ...      write a saved model as ONNX or C
  fastprop explain xor     write a page on which to walk through backpropagation, step by step
  fastprop warmup          compile the kernels now, so that no first call has to wait
  fastprop doctor          say what was found: SIMD width, cache folder, versions, cores
  fastprop costs           measure what backpropagation saves
  fastprop bench           measure training against NumPy and whatever else is installed
"""

EXAMPLES = """\
examples:
  fastprop train digits
  fastprop train digits --hidden-sizes 128 64 --hidden gelu --epochs 50 --seed 3
  fastprop train digits --optimizer sgd --learning-rate 0.1 --momentum 0.9
  fastprop train xor --seed 1              (this one gets stuck)
  fastprop train digits --no-progress      (the result alone)
  fastprop train digits --save model.safetensors
  fastprop predict model.safetensors rows.npy --labels

`fastprop COMMAND --help` says more about a command. Exit codes: 0 done, 1 failed (training diverged),
2 refused (a wrong option, a bad file, something not installed), 130 stopped by Ctrl-C.
"""

TRAIN = """\
Train a network and say how well it does. The kernels are compiled on first use, which takes some seconds
once; `fastprop warmup` does so ahead of time.

  fastprop train digits    the digits that scikit-learn ships: 8 x 8 pixels, 10 classes
  fastprop train xor       the four rows of XOR
"""

DIGITS = """\
Train on the 1,797 handwritten digits that scikit-learn ships: 64 pixels scaled to [0, 1], 10 classes, a
quarter of each class kept for the test (the same quarter whatever the seed). Each line is an epoch: the mean
loss of its batches before their updates, and the share of test digits read correctly after it.
"""

XOR = """\
Train on the four rows of XOR, one at a time, and print the truth table. The defaults are the sigmoid network
with two hidden neurons, squared error and learning rate of the classical worked example. From some first
weights gradient descent gets stuck in such a small network: the default seed reaches XOR, seed 1 does not.
"""

INSPECT = """\
Say what is in a file that `fastprop train --save`, net.save or a checkpoint wrote: the network, each layer's
parameters and their norms, and the optimizer if there is one. A file that is damaged is refused.
"""

PREDICT = """\
Write the outputs of a saved model for each row of a file: comma-separated numbers, with or without a line of
names, or an array of NumPy's (.npy). The outputs go to standard output as comma-separated numbers, or to a file.
"""

GRADCHECK = """\
Compare the gradient that backpropagation computes for a saved model with central differences of its loss, on the
rows of a file: the inputs of each, then its target (a label for cross_entropy, else one number for each output).
Prints the worst entries; exits with 1 if one of them is wrong.
"""

EXPORT = """\
Write a saved model for where there is no fastprop: as ONNX (needs the extra onnx), or as one file of C99 with a
function predict.
"""

EXPLAIN = """\
Write one HTML page that loads nothing from elsewhere: both passes of one observation through a network, to step
through, with every z, a, δ and gradient; input, target and weights to edit; vanishing gradients, and what
backpropagation saves. WHAT is a worked example or a saved network; --sizes makes a new one instead.

  fastprop explain xor --html page.html
  fastprop explain model.safetensors --input 0.5 -1 2 --target 1
  fastprop explain --sizes 2 3 1 --hidden relu --input 1,0 --target 1
"""

WARMUP = """\
Compile all that training needs and keep the machine code on disk, where every later process finds it. One
compilation serves every network of a dtype, whatever its sizes, activations, loss and optimizer.
"""

DOCTOR = """\
Say what was found on this machine, and what is set in the environment. Set before Python starts:
  FASTPROP_SIMD      avx512, avx2 or portable: use no wider vectors than that
  FASTPROP_CHECKED   1: every load and store of a kernel verifies its range (slow)
  NUMBA_CACHE_DIR    the folder for compiled kernels
"""

COSTS = """\
Compute the gradient of one observation's loss, of a network of random parameters, by finite differences, by
one chain of local derivatives for each path from each weight, by forward mode and by backpropagation; and the
gradient with respect to the input by multiplying Jacobians from either end. Say what each took, and how far
it is from the gradient that training uses. Everything in float64 and in plain compiled loops.

  fastprop costs --sizes 10 30 30 5
  fastprop costs --grow width        for ever wider networks: how the costs grow with the parameters
  fastprop costs --plot costs.png    the same as a picture, by width and by depth
"""

ACTIVATIONS = "identity, sigmoid, tanh, relu, leaky_relu, elu, softplus, silu, gelu"
LOSSES = "squared_error, mse, mae, huber, binary_cross_entropy, cross_entropy, poisson"
OPTIMIZERS = "sgd, rmsprop, adagrad, adam, adamw"


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors are one line."""

    def __init__(self, *args: Any, **options: Any) -> None:
        as_written = argparse.RawDescriptionHelpFormatter
        super().__init__(*args, **{"formatter_class": as_written, "allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; argparse itself leaves by `SystemExit`.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows ``fastprop``; by default what the process was given.

    Returns
    -------
    int
        0 done, 1 failed, 2 refused, 130 stopped by Ctrl-C.

    Examples
    --------
    >>> main(["--version"]) == 0
    fastprop 0.1.0
    True
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    prog = "fastprop"
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"{prog}: {message}", file=sys.stderr)
        try:
            parser = build_parser(arguments[:1] == ["bench"])
            options = parser.parse_args(arguments)
            prog = " ".join(filter(None, ("fastprop", options.command, getattr(options, "task", None))))
            code = options.run(options)
            sys.stdout.flush()
            return code
        except KeyboardInterrupt:
            print(f"{prog}: interrupted", file=sys.stderr)
            return 130
        except BrokenPipeError:  # the reader, `head` say, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except (ImportError, OSError, TypeError, ValueError, MemoryError, ArithmeticError) as error:
            # The border's messages name the argument, what was expected and what came: that is enough.
            # `python -X dev -m fastprop ...` shows the traceback all the same.
            if sys.flags.dev_mode:
                raise
            print(f"{prog}: {_in_one_line(error)}", file=sys.stderr)
            return 1 if isinstance(error, (ArithmeticError, MemoryError)) else 2


def build_parser(with_bench: bool = False) -> Parser:
    """The parser of all commands; the options of ``bench`` are its module's, imported only ``with_bench``."""
    parser = Parser("fastprop", description=DESCRIPTION, epilog=EXAMPLES, usage="fastprop [--version] COMMAND ...")
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    parser.set_defaults(run=lambda options: _about(parser, options.version))
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", prog="fastprop")

    train = commands.add_parser("train", help="train a network on digits or xor", description=TRAIN)
    tasks = train.add_subparsers(dest="task", metavar="{digits,xor}", required=True)
    digits = tasks.add_parser("digits", help="read handwritten digits", description=DIGITS)
    _add_training(
        digits, sizes=(64, 128, 10), hidden="relu", output="softmax",
        optimizer="adam", epochs=30, batch_size=16, rates={"adam": 0.002, "sgd": 0.1},
    )  # fmt: skip
    digits.set_defaults(run=lambda options: _tasks().digits(options))
    xor = tasks.add_parser("xor", help="learn XOR", description=XOR)
    _add_training(
        xor, sizes=(2, 2, 1), hidden="sigmoid", output="sigmoid", loss="squared_error",
        optimizer="sgd", epochs=10_000, batch_size=1, rates={"adam": 0.01, "sgd": 0.5},
    )  # fmt: skip
    xor.set_defaults(run=lambda options: _tasks().xor(options))

    inspect = commands.add_parser("inspect", help="say what is in a saved model", description=INSPECT)
    inspect.add_argument("model", metavar="MODEL", help="a .safetensors file of fastprop's")
    inspect.set_defaults(run=lambda options: _saved().inspect(options))

    predict = commands.add_parser("predict", help="write the outputs of a saved model", description=PREDICT)
    predict.add_argument("model", metavar="MODEL", help="a .safetensors file of fastprop's")
    predict.add_argument("data", metavar="DATA", help="a .npy or .csv file, or - for lines on standard input")
    predict.add_argument(
        "--labels", action="store_true",
        help="write which output is the largest, counted from 0 (of a single output: whether it is above 0.5)",
    )  # fmt: skip
    predict.add_argument("--output", "-o", metavar="FILE", help="a .npy file, or any other for comma-separated numbers")
    predict.set_defaults(run=lambda options: _saved().predict(options))

    gradcheck = commands.add_parser("gradcheck", help="check a saved model's gradient", description=GRADCHECK)
    gradcheck.add_argument("model", metavar="MODEL", help="a .safetensors file of fastprop's")
    gradcheck.add_argument("data", metavar="DATA", help="a .npy or .csv file, or - for lines on standard input")
    gradcheck.add_argument(
        "--entries", type=int, metavar="N", default=1000, help="compare at most so many (default: %(default)s)"
    )
    gradcheck.add_argument("--seed", type=int, metavar="N", default=0, help="of the choice among more (default: 0)")
    gradcheck.set_defaults(run=lambda options: _saved().gradcheck(options))

    export = commands.add_parser("export", help="write a saved model as ONNX or C", description=EXPORT)
    export.add_argument("model", metavar="MODEL", help="a .safetensors file of fastprop's")
    export.add_argument("--to", choices=("onnx", "c"), required=True, help="what to write")
    export.add_argument("--output", "-o", metavar="FILE", help="default: MODEL with .onnx or .c at its end")
    export.set_defaults(run=lambda options: _saved().export(options))

    explain = commands.add_parser("explain", help="write a page to walk through backpropagation", description=EXPLAIN)
    _add_explaining(explain)
    explain.set_defaults(run=lambda options: _explain().write(options))

    warmup = commands.add_parser("warmup", help="compile the kernels ahead of time", description=WARMUP)
    warmup.add_argument(
        "--dtype", choices=("float32", "float64", "all"), default="float32", help="default: %(default)s"
    )
    warmup.set_defaults(run=lambda options: _machine().warmup(options.dtype))

    doctor = commands.add_parser("doctor", help="say what was found on this machine", description=DOCTOR)
    doctor.set_defaults(run=lambda options: _machine().doctor())

    costs = commands.add_parser("costs", help="measure what backpropagation saves", description=COSTS)
    costs.add_argument(
        "--sizes", nargs="+", type=int, metavar="N", default=[8, 16, 16, 4], help="widths (default: 8 16 16 4)"
    )
    costs.add_argument("--hidden", metavar="NAME", default="tanh", help=f"{ACTIVATIONS} (default: tanh)")
    costs.add_argument("--seed", type=int, metavar="N", default=0, help="of parameters, input and target (default: 0)")
    costs.add_argument(
        "--most", type=float, metavar="N", default=1e8, help="run nothing of more multiplications (default: 1e8)"
    )
    kinds = costs.add_mutually_exclusive_group()
    kinds.add_argument("--grow", choices=("width", "depth"), help="measure ever larger tanh networks instead")
    kinds.add_argument("--plot", metavar="FILE", help="draw how the costs grow by width and by depth (extra plot)")
    costs.set_defaults(run=lambda options: _costs().command(options))

    bench = commands.add_parser("bench", help="measure training against other libraries")
    if with_bench:
        from . import bench as module

        module.add_arguments(bench)
        bench.set_defaults(run=module.run)
    return parser


def _add_training(
    parser: Parser, *, sizes: tuple[int, ...], hidden: str, output: str, loss: str | None = None,
    optimizer: str, epochs: int, batch_size: int, rates: dict[str, float],
) -> None:  # fmt: skip
    """The options of one task, with its defaults."""
    inputs, *between, outputs = sizes
    parser.set_defaults(default_sizes=sizes, rates=rates)

    network = parser.add_argument_group("network")
    widths = network.add_mutually_exclusive_group()
    widths.add_argument(
        "--sizes", nargs="+", type=_integers, metavar="N",
        help=f"all widths, {inputs} first and {outputs} last (default: {' '.join(map(str, sizes))})",
    )  # fmt: skip
    widths.add_argument(
        "--hidden-sizes", nargs="*", type=_integers, metavar="N",
        help=f"the hidden widths alone (default: {' '.join(map(str, between))})",
    )  # fmt: skip
    network.add_argument(
        "--hidden", nargs="+", metavar="NAME", default=[hidden],
        help=f"activation of the hidden layers, or one for each: {ACTIVATIONS} (default: {hidden})",
    )  # fmt: skip
    network.add_argument(
        "--output", metavar="NAME", default=output,
        help=f"activation of the output: one of these, or softmax (default: {output})",
    )  # fmt: skip
    network.add_argument(
        "--loss", metavar="NAME", default=loss,
        help=f"{LOSSES} (default: {loss or 'the one that goes with the output'})",
    )  # fmt: skip
    network.add_argument("--dtype", metavar="TYPE", default="float32", help="float32 or float64 (default: float32)")
    network.add_argument(
        "--seed", type=int, metavar="N", default=0, help="of the first weights and the shuffles (default: 0)"
    )

    training = parser.add_argument_group("training")
    training.add_argument("--optimizer", metavar="NAME", default=optimizer, help=f"{OPTIMIZERS} (default: {optimizer})")
    training.add_argument(
        "--learning-rate", type=float, metavar="RATE",
        help="default: " + ", ".join(f"{rate} for {name}" for name, rate in rates.items()),
    )  # fmt: skip
    training.add_argument("--momentum", type=float, metavar="M", help="of sgd, from 0 to below 1 (default: 0)")
    training.add_argument("--epochs", type=int, metavar="N", default=epochs, help=f"default: {epochs}")
    training.add_argument("--batch-size", type=int, metavar="N", default=batch_size, help=f"default: {batch_size}")
    parser.add_argument("--save", metavar="FILE", help="write the trained network, such as model.safetensors")
    parser.add_argument(
        "--no-progress", "--quiet", dest="progress", action="store_false", help="print the result alone"
    )


def _add_explaining(parser: Parser) -> None:
    parser._negative_number_matcher = re.compile(r"-[\d.]")  # -1,0.5 is no option
    parser.add_argument(
        "what", metavar="WHAT", nargs="?",
        help="xor (the default), two-paths, two-passes, or a .safetensors file of fastprop's",
    )  # fmt: skip
    parser.add_argument("--html", metavar="FILE", default="explain.html", help="the page (default: %(default)s)")
    parser.add_argument(
        "--input", nargs="+", type=_numbers, metavar="X", help="the observation (default: from 1 to -1)"
    )
    parser.add_argument(
        "--target", nargs="+", type=_numbers, metavar="T",
        help="its target; for cross_entropy one number is a label (default: 1 for the first output)",
    )  # fmt: skip
    parser.add_argument("--learning-rate", type=float, metavar="RATE", default=0.5, help="default: %(default)s")
    network = parser.add_argument_group("a network of its own")
    network.add_argument("--sizes", nargs="+", type=_integers, metavar="N", help="all widths, inputs and outputs too")
    network.add_argument("--hidden", nargs="+", metavar="NAME", help=f"{ACTIVATIONS} (default: tanh)")
    network.add_argument("--output", metavar="NAME", help="one of these, or softmax (default: identity)")
    network.add_argument("--loss", metavar="NAME", help=f"{LOSSES} (default: the one that goes with the output)")
    network.add_argument("--seed", type=int, metavar="N", help="of the weights (default: 0)")
    network.add_argument(
        "--parameters", nargs="+", type=_numbers, metavar="V", help="all of them: W1 row by row, b1, W2, b2, ..."
    )


def _numbers(text: str) -> list[float]:
    """The numbers in one word: ``1`` or ``1,0``."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers such as 1 0 or 1,0, got {text!r}") from None


def _integers(text: str) -> list[int]:
    """The widths in one word: ``64`` or ``64,128,10``."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected integers such as 64 128 10, got {text!r}") from None


def _in_one_line(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return f"out of memory: {error}"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _about(parser: Parser, version: bool) -> int:
    """What ``fastprop`` says without a command."""
    if version:
        from . import __version__

        print(f"fastprop {__version__}")
    else:
        parser.print_help()
    return 0


def _tasks() -> Any:
    from . import tasks

    return tasks


def _saved() -> Any:
    from . import saved

    return saved


def _explain() -> Any:
    from . import explain

    return explain


def _machine() -> Any:
    from . import machine

    return machine


def _costs() -> Any:
    from . import costs

    return costs
