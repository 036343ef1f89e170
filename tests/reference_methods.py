"""Slow twin of the event loop for all methods: plain Python objects, one heap, no arrays.

Written from the descriptions of the rules. Only the random numbers are shared with the package, so
times, losses and counts must agree bit for bit.
"""

import heapq
import math

from sdde.cluster import projections, rules, weights
from sdde.engine import streams
from sdde.engine.kernels.quantile import quantile
from sdde.equation.laws import as_law


class Worker:
    def __init__(self, number):
        self.number = number
        self.job = -1
        self.version = 0
        self.state = "busy"
        self.since = 0.0
        self.idle = 0.0
        self.applied = self.discarded = self.cancelled = 0
        self.square = None


class Cluster:
    """One run of a composed method on a diagonal quadratic."""

    def __init__(self, method, *, curvatures, noise, start, law, workers, learning_rate, seed):
        self.method, self.curvatures, self.noise = method, curvatures, noise
        self.table, self.key = as_law(law, "law").table(), streams.key_of(seed)
        self.x = list(start)
        self.rate, self.seed = learning_rate, seed
        self.workers = [Worker(i) for i in range(workers)]
        self.version, self.taken, self.now = 0, 0, 0.0
        self.group, self.weights, self.tail_counts = [], [], {}
        self.later, self.served, self.collecting = [], set(), True
        self.shown, self.public = list(start), 0
        self.velocity = [0.0] * len(self.x)
        self.behind = list(start)
        self.staleness, self.rows, self.heap = [], [], []
        self.start()

    def start(self):
        for worker in self.workers:
            self.begin(worker)

    def uniform(self, step, worker, stream):
        return streams.uniform(*self.key, 0, step, worker.number, stream)

    def begin(self, worker):
        """Begin a job, or under a budget ask for one."""
        if self.method.budget is None:
            self.work(worker)
        else:
            if worker.state != "idle":
                self.rest(worker)
            worker.state = "held"

    def let_begin(self):
        """Let those who were held longest begin while the budget allows."""
        if self.method.budget is None:
            return
        while True:
            held = [w for w in self.workers if w.state == "held"]
            under_way = self.under_way()
            oldest = min([version for version in under_way], default=self.public)
            size = self.method.waiting.size or len(self.workers)
            room = size * (min(oldest, self.public) + self.method.budget + 1)
            if not held or self.taken + len(under_way) >= room:
                return
            self.work(min(held, key=lambda w: (w.since, w.number)))

    def under_way(self):
        """Versions of all gradients that are computed or wait at the server."""
        return [w.version for w in self.workers if w.state == "busy"]

    def work(self, worker, again=False):
        if worker.state in ("idle", "held"):
            worker.idle += self.now - worker.since
        worker.state, worker.job = "busy", worker.job + 1
        worker.read_time = self.now
        if not again:
            worker.read, worker.version = list(self.shown), self.public
        time = quantile(self.table, self.uniform(worker.job, worker, streams.COMPUTE))
        gives_up = False
        rule = self.method.admission
        if isinstance(rule, rules.Young) and rule.stop and time > rule.age:
            time, gives_up = rule.age, True
        heapq.heappush(self.heap, (self.now + time, worker.number, worker.job, gives_up))

    def rest(self, worker):
        worker.state, worker.since = "idle", self.now

    def gradient(self, worker):
        dim = len(self.x)
        width = 1 if dim == 1 else dim + dim % 2
        g = []
        for i, (curvature, noise) in enumerate(zip(self.curvatures, self.noise, strict=True)):
            z = streams.normal(
                *self.key, 0, worker.job * width + i, worker.number, streams.GRADIENT
            )
            g.append(curvature * worker.read[i] + noise * z)
        return g

    def admits(self, worker, g):
        rule = self.method.admission
        if isinstance(rule, rules.Fresh):
            return self.version - worker.version < rule.limit
        if isinstance(rule, rules.Young):
            return self.now - worker.read_time <= rule.age
        if isinstance(rule, rules.Chance):
            return self.uniform(2 * worker.job, worker, streams.DECISIONS) < rule.keep
        if isinstance(rule, rules.Near):
            return self.distance(worker) <= rule.distance * rule.distance
        if isinstance(rule, rules.Large):
            return squares(g) >= rule.norm * rule.norm
        return True

    def distance(self, worker):
        total = 0.0
        for a, b in zip(self.x, worker.read, strict=True):
            total += (a - b) ** 2
        return total

    def weight(self, worker, late):
        rule, n = self.method.rate, len(self.workers)
        if isinstance(rule, weights.Inverse):
            return 1.0 / max(1, late)
        if isinstance(rule, weights.Adaptive):
            full = rule.full or n
            return full / max(full, late)
        if isinstance(rule, weights.Capped):
            if late <= (rule.full or n):
                return 1.0
            return min(1.0, 1.0 / (4.0 * rule.smoothness * self.rate) / late)
        if isinstance(rule, weights.Power):
            return (1.0 + late) ** (-rule.power)
        if isinstance(rule, weights.Decay):
            t = n + 1
            beta = 2.0 / t * math.log1p(t / 2.0) if rule.rate is None else rule.rate
            return math.exp(-beta * late)
        if isinstance(rule, weights.ImplicitMomentum):
            table = rule.table(n)
            return table[min(late, len(table) - 1)]
        if isinstance(rule, weights.Table):
            return rule.weights[min(late, len(rule.weights) - 1)]
        if isinstance(rule, weights.InverseDistance):
            square, most = self.distance(worker), rule.constant / self.rate
            return 1.0 if square <= most else most / square
        if isinstance(rule, weights.Tail):
            first, last = (n * edge for edge in rule.window)
            if self.taken >= last:
                total = sum(self.tail_counts.values())
                below = sum(c for s, c in self.tail_counts.items() if s < late)
                middle = (below + 0.5 * self.tail_counts.get(late, 0)) / total
                return 1.0 + rule.amplitude * (1.0 - 2.0 * middle)
            if self.taken >= first:
                self.tail_counts[late] = self.tail_counts.get(late, 0) + 1
        return 1.0

    def corrected(self, worker, g):
        if self.method.clip is not None and squares(g) > self.method.clip**2:
            share = self.method.clip / math.sqrt(squares(g))
            g = [v * share for v in g]
        rule = self.method.compensation
        if rule is None or rule.strength == 0.0:
            return g
        out = []
        if worker.square is None:
            worker.square = [0.0] * len(g)
        for i, v in enumerate(g):
            strength = rule.strength
            if rule.decay is not None:
                mean = rule.decay * worker.square[i] + (1.0 - rule.decay) * v * v
                worker.square[i] = mean
                strength /= math.sqrt(mean + 1e-7)
            out.append(v + strength * v * v * (self.x[i] - worker.read[i]))
        return out

    def is_complete(self):
        rule = self.method.waiting
        if isinstance(rule, rules.GradientTable):
            worker = self.group[-1][0]
            if self.collecting:
                if len({w for w, _ in self.group}) < len(self.workers):
                    return False
                self.collecting = False
                return True
            if worker in self.served:
                self.later.append(self.group.pop())
                return False
            return True
        if isinstance(rule, rules.BalancedGroup):
            counts = [sum(1 for w, _ in self.group if w is worker) for worker in self.workers]
            if 0 in counts:
                return False
            n, total = len(counts), 0.0
            for count in counts:
                total += 1.0 / count
            return n * n >= rule.size * total
        size = rule.size if isinstance(rule, rules.Group) else 1
        return len(self.group) == (size or len(self.workers))

    def joined(self):
        """Sum of the group and its divisor."""
        if isinstance(self.method.waiting, rules.BalancedGroup | rules.GradientTable):
            total = [0.0] * len(self.x)
            for worker in self.workers:
                own = [g for w, g in self.group if w is worker]
                for i in range(len(total)):
                    part = 0.0
                    for g in own:
                        part += g[i]
                    total[i] += part / len(own)
            return total, float(len(self.workers))
        total = self.group[0][1]
        for _, g in self.group[1:]:
            total = [a + b for a, b in zip(total, g, strict=True)]
        if self.method.summed:
            return total, 1.0
        if self.method.by_weight:
            divisor = 0.0
            for weight in self.weights:
                divisor += weight
            return total, divisor
        return total, float(len(self.group))

    def schedule(self):
        rule = self.method.schedule
        if isinstance(rule, weights.Steps):
            factor = 1.0
            for number in rule.at:
                factor *= rule.factor if self.version >= number else 1.0
            return factor
        if isinstance(rule, weights.Cosine):
            share = min(self.version, rule.updates) / rule.updates
            return rule.lowest + (1.0 - rule.lowest) * 0.5 * (1.0 + math.cos(math.pi * share))
        k, first = float(self.version + rule.first), float(rule.first)
        if rule.kind == "power":
            return (first / k) ** rule.power
        ratio = first * math.log(first) / (k * math.log(k))
        if rule.kind == "loglog":
            ratio *= math.log(math.log(first)) / math.log(math.log(k))
        return ratio

    def update(self, worker):
        total, divisor = self.joined()
        factor = self.rate / divisor
        if self.method.schedule is not None:
            factor *= self.schedule()
        if self.method.momentum > 0.0:
            self.velocity = [
                self.method.momentum * v + g for v, g in zip(self.velocity, total, strict=True)
            ]
            total = self.velocity
        self.behind = [a - factor * g for a, g in zip(self.behind, total, strict=True)]
        self.x = projected(self.behind, self.method.projection)
        if self.method.projection is None or not self.method.projection.lazy:
            self.behind = list(self.x)
        self.version += 1
        if self.version % self.method.publish == 0:
            self.shown, self.public = list(self.x), self.version
        self.next_group(worker)
        loss = 0.0
        for curvature, value in zip(self.curvatures, self.x, strict=True):
            loss += curvature * value * value
        self.rows.append((self.now, 0.5 * loss))
        self.release(worker)

    def next_group(self, worker):
        if not isinstance(self.method.waiting, rules.GradientTable):
            self.group, self.weights = [], []
            return
        self.served.add(worker)
        if len(self.served) == len(self.workers):
            self.group, self.later, self.served, self.collecting = self.later, [], set(), True

    def release(self, worker):
        waiting = self.method.waiting
        balanced = isinstance(waiting, rules.BalancedGroup)
        if balanced or (isinstance(waiting, rules.Group) and waiting.cancel):
            for other in self.workers:
                if other.state == "busy" and other is not worker:
                    other.cancelled += 1
                self.begin(other)
            return
        if isinstance(waiting, rules.Lead):
            self.rest(worker)
            slowest = min(other.applied for other in self.workers)
            for other in self.workers:
                if other.state == "idle" and other.applied - slowest <= waiting.most:
                    self.begin(other)
            return
        self.begin(worker)
        for other in self.workers:
            if other.state == "idle":
                self.begin(other)
            elif other is not worker and self.is_hopeless(other):
                other.cancelled += 1
                self.begin(other)

    def is_hopeless(self, worker):
        rule = self.method.admission
        late = self.version - worker.version
        return isinstance(rule, rules.Fresh) and rule.stop and late >= rule.limit

    def run(self, updates):
        while self.version < updates:
            self.let_begin()
            now, number, job, gives_up = heapq.heappop(self.heap)
            worker = self.workers[number]
            if job != worker.job:
                continue  # this work was thrown away
            self.now = now
            if gives_up:
                worker.cancelled += 1
                self.begin(worker)
                continue
            g = self.gradient(worker)
            if not self.admits(worker, g):
                worker.discarded += 1
                self.begin(worker)
                continue
            late = self.version - worker.version
            self.staleness.append(late)
            worker.applied += 1
            g = self.corrected(worker, g)
            weight = self.weight(worker, late)
            self.taken += 1
            self.group.append((worker, [weight * v for v in g]))
            self.weights.append(weight)
            if self.is_complete():
                self.update(worker)
            elif isinstance(self.method.waiting, rules.GradientTable):
                self.work(worker, again=True)
            elif isinstance(self.method.waiting, rules.Group) and self.method.waiting.idle:
                self.rest(worker)
            else:
                self.begin(worker)
        self.let_begin()
        return self


def projected(x, rule):
    """The nearest point of a ball or box."""
    if isinstance(rule, projections.Box):
        return [min(max(v, rule.lowest), rule.highest) for v in x]
    if isinstance(rule, projections.Ball):
        square = squares([v - rule.centre for v in x])
        if square > rule.radius * rule.radius:
            share = rule.radius / math.sqrt(square)
            return [rule.centre + share * (v - rule.centre) for v in x]
    return list(x)


def squares(g):
    total = 0.0
    for v in g:
        total += v * v
    return total
