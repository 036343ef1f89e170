"""Slow twins of the compiled objectives: plain Python from the formulas, addresses included."""

import math

from sdde.engine import streams


def drawn_rows(objective, key, run, worker, job):
    """Rows of the mini-batch of a job, as the worker that holds some of them draws."""
    held = objective.samples.rows_of(worker).tolist()
    steps = range(job * objective.batch, (job + 1) * objective.batch)
    return [
        held[int(streams.uniform(*key, run, step, worker, streams.SAMPLING) * len(held))]
        for step in steps
    ]


def softmax(logits):
    top = max(logits)
    shares = [math.exp(v - top) for v in logits]
    return [share / sum(shares) for share in shares]


def network_gradient(net, x, rows):
    """Backpropagation with lists, one sample after the other."""
    sizes = list(zip(net.widths[:-1], net.widths[1:], strict=True))
    starts = [sum((a + 1) * b for a, b in sizes[:i]) for i in range(len(sizes))]
    out = [net.regularisation * v for v in x]
    for row in rows:
        reads = [list(net.inputs[row])]
        for layer, (rows_in, columns) in enumerate(sizes):
            at, total = starts[layer], []
            for c in range(columns):
                value = x[at + rows_in * columns + c]
                for r in range(rows_in):
                    value += reads[-1][r] * x[at + r * columns + c]
                if layer < len(sizes) - 1:
                    value = math.tanh(value) if net.activation == "tanh" else max(value, 0.0)
                total.append(value)
            reads.append(total)
        late = softmax(reads.pop())
        late[net.labels[row]] -= 1.0
        for layer in range(len(sizes) - 1, -1, -1):
            (rows_in, columns), at, read = sizes[layer], starts[layer], reads[layer]
            for c in range(columns):
                out[at + rows_in * columns + c] += late[c] / len(rows)
                for r in range(rows_in):
                    out[at + r * columns + c] += read[r] * late[c] / len(rows)
            back = []
            for r in range(rows_in):
                value = sum(x[at + r * columns + c] * late[c] for c in range(columns))
                tanh = net.activation == "tanh"
                back.append(value * (1.0 - read[r] ** 2 if tanh else float(read[r] > 0.0)))
            late = back
    return out
