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


def normals(dim, key, run, worker, job):
    """The standard normal numbers of a job, one for each parameter."""
    width = dim if dim == 1 else dim + dim % 2
    return [
        streams.normal(*key, run, job * width + i, worker, streams.GRADIENT) for i in range(dim)
    ]


def logistic_gradient(objective, x, rows):
    """One sample after the other, from the derivative of log(1 + exp(z)) - y z."""
    out = [objective.regularisation * v for v in x]
    for row in rows:
        inputs, label = objective.inputs[row], objective.labels[row]
        logit = sum(a * b for a, b in zip(inputs, x, strict=True))
        residual = 1.0 / (1.0 + math.exp(-logit)) - label
        for f, value in enumerate(inputs):
            out[f] += residual * value / len(rows)
    return out


def factorisation_gradient(objective, x, entries):
    """One entry after the other, from the derivative of (u_i . v_j - m_ij)^2 / 2."""
    rank, (rows, columns) = objective.rank, objective.target.shape
    out = [0.0] * len(x)
    for entry in entries:
        i, j = entry // columns, entry % columns
        left, right = i * rank, (rows + j) * rank
        error = sum(x[left + r] * x[right + r] for r in range(rank)) - objective.target[i, j]
        for r in range(rank):
            out[left + r] += error * x[right + r] / len(entries)
            out[right + r] += error * x[left + r] / len(entries)
    return out


def drawn_entries(objective, key, run, worker, job):
    """Entries of the target in the mini-batch of a job."""
    steps = range(job * objective.batch, (job + 1) * objective.batch)
    size = objective.target.size
    return [int(streams.uniform(*key, run, s, worker, streams.SAMPLING) * size) for s in steps]
