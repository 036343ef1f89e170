"""The SYSTEM.toml that ``sdde plan --example`` prints: all that a description may say."""

EXAMPLE = """\
# A description for `sdde plan` and `sdde compare`. It works as it stands; the lines that are
# commented out show everything else that can be said. Times are in one unit; here seconds.

learning_rate = 0.02            # optional: that of your run; without it the best one is found
target_loss = 0.05              # optional: excess loss (above the minimum) that you want to reach

[system]
workers = 8                     # optional: how many there are; a plan considers up to so many
compute_time = { law = "gamma", a = 4.0, scale = 0.25 }   # of one gradient: a scipy.stats law,
# compute_time = 1.0                                      # or a number,
# compute_time = [0.9, 1.0, 1.4]                          # or measurements, all equally likely,
# trace = "trace.csv"                                     # or the log of a real run,
# compute_times = [1.0, 1.0, { law = "expon", scale = 2.0 }]   # or one law for each worker.
# communication = 0.1           # optional: a law, on a link of each worker's own,
# shared_link = { time = 0.01, capacity = 1 }   # or one transfer on a link that all share
# update_time = 0.001           # optional: what an update keeps the server busy; a law

[objective]
eigenvalues = [1.0, 0.5, 0.1]   # of the Hessian at the minimum; or, where only its ends are known:
# largest = 1.0                 # the largest eigenvalue, L
# smallest = 0.01               # the smallest one, mu
# density = "log-uniform"       # between them: "uniform" or "log-uniform" (default),
# density = [[1.0, 0.2], [0.1, 0.8]]   # or measured: pairs of an eigenvalue and its share
# parameters = 1000             # directions of a density (default: 100)
noise = 0.3                     # standard deviation of each component of a stochastic gradient,
# noise_trace = 0.27            # or the trace of its covariance, spread evenly (0 by default)
start = 1.0                     # distance from the minimum at the start, per component,
# initial_loss = 0.8            # or the excess loss there, at equal distances (start = 1)

[limits]                        # optional
# max_workers = 64              # most workers to consider, instead of those that there are
# margin = 0.1                  # how far to stay from divergence
# methods = ["async", "k-sync", "k-batch-async:4"]   # to choose from; a plan finds a missing number
# max_transfer_rate = 100.0     # most gradients sent to the server per unit of time
# cost_per_worker_time = 0.001  # of one worker for one unit of time
# max_cost = 1.0                # most that reaching the target may cost
"""
