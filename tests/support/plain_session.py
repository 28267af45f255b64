"""The session decoder as one would write it down from its formulas: dense matrices, loops, nothing shared with what it checks."""

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import logsumexp
from scipy.stats import multivariate_normal


def whitened(X, r):
    """Return whitened epochs, covariance of the prior, what is known of the person and its weight, latencies, the response at each."""
    n_filters, n_bins = r.difference.shape
    raw = np.array([r.filters @ x.reshape(r.n_channels, r.n_times).astype(float) @ r.temporal for x in X])
    raw -= raw.mean(axis=2, keepdims=True)
    e = raw - (12 * r.mean + raw.sum(axis=0)) / (12 + len(raw))
    # noise of the session, long epochs cut down to twice the median
    flat = np.concatenate(list(e), axis=1)
    inverse = np.linalg.inv(flat @ flat.T / flat.shape[1])
    length = np.array([np.sqrt(np.einsum("ct,cd,dt->", one, inverse, one)) for one in e])
    short = e * np.minimum(1, 2 * np.median(length) / length)[:, None, None]
    lagged = np.zeros_like(r.noise)
    for lag in range(n_bins):
        pairs = [np.outer(one[:, t], one[:, t + lag]) for one in short for t in range(n_bins - lag)]
        lagged[lag] = np.mean(pairs, axis=0) * (1 - lag / (2 * n_bins))
    total = 200 * r.noise + len(e) * lagged
    n = 200 + len(e)
    if r.own:
        total, n = total + r.own.noise_sum, n + r.own.n_epochs
    noise = total / n
    # whole epochs, channel by channel; without their means, by any basis that is orthogonal to them
    cov = np.block(
        [
            [
                np.array(
                    [
                        [noise[t - s][a, b] if t >= s else noise[s - t][b, a] for t in range(n_bins)]
                        for s in range(n_bins)
                    ]
                )
                for b in range(n_filters)
            ]
            for a in range(n_filters)
        ]
    )
    basis = np.linalg.svd(np.ones((1, n_bins)))[2][1:]
    basis = np.kron(np.eye(n_filters), basis)
    cov = basis @ cov @ basis.T
    cov += 1e-6 * np.trace(cov) / len(cov) * np.eye(len(cov))
    white = solve_triangular(np.linalg.cholesky(cov), basis, lower=True)
    z = e.reshape(len(e), -1) @ white.T
    z /= np.sqrt((z**2).mean(axis=1, keepdims=True))
    spread = white @ np.kron(r.spatial_spread, r.temporal_spread) @ white.T
    prior = (0.7 * spread / np.trace(spread) * len(spread) + 0.3 * np.eye(len(spread))) / r.prior_flashes
    own = white @ r.own.contrast.ravel() if r.own else np.zeros(len(white))
    own_weight = r.own.weight if r.own else 0.0
    bins = np.arange(n_bins)
    steps = np.arange(-4, 5) if r.latency_sd_bins else np.array([0])
    at = []
    for step in steps:
        later = step / 2 * r.latency_sd_bins
        at.append(
            white @ np.array([np.interp(bins - later, bins, row, left=0, right=0) for row in r.difference]).ravel()
        )
    return z, prior, own, own_weight, steps, at


def learnt(prior, m_0, contrast, weight):
    """Return mean and covariance of the response."""
    precision = np.linalg.inv(prior) + weight * np.eye(len(prior))
    mean = np.linalg.solve(precision, np.linalg.solve(prior, m_0) + contrast)
    return mean, np.linalg.inv(precision)


def scores_without_each(z, factors, shares, prior, m_0, own, own_weight, p):
    """Score each flash by what all flashes but itself have taught."""
    ratio = np.zeros(len(z))
    for i in range(len(z)):
        others = np.arange(len(z)) != i
        mean, _ = learnt(prior, m_0, own + factors[others] @ z[others], own_weight + shares[others].sum())
        ratio[i] = z[i] @ mean - (0.5 - p) * (mean @ mean)
    return ratio


def plain_session(X, lit, trials, response, known=None, n_iterations=6):
    """Return log likelihood ratios and posteriors."""
    z, prior, own, own_weight, steps, at = whitened(X, response)
    p = response.prior_target
    score = []
    for step, m in zip(steps, at, strict=True):
        one = -((step / 2) ** 2) / 2 + 0.5 * (own @ m - own_weight * (m @ m) / 2)
        for k, trial in enumerate(trials):
            by_symbol = [
                0.5 * sum((lit[i, s] - p) * (z[i] @ m) - (lit[i, s] - p) ** 2 * (m @ m) / 2 for i in rows(trial))
                for s in range(lit.shape[1])
            ]
            one += by_symbol[known[k]] if known and known[k] is not None else logsumexp(by_symbol)
        score.append(one)
    m_0 = np.average(at, axis=0, weights=np.exp(np.array(score) - max(score)))

    def posterior_of_response(contrast, weight):
        return learnt(prior, m_0, own + contrast, own_weight + weight)

    def symbols(k, mean, covariance):
        trial, n_symbols = trials[k], lit.shape[1]
        if known and known[k] is not None:
            return np.eye(n_symbols)[known[k]]
        log_likelihood = []
        for s in range(n_symbols):
            # What the flashes say, summed up, is Gaussian about weight times the response.
            factor = lit[trial, s] - p
            contrast, weight = factor @ z[trial], factor @ factor
            marginal = multivariate_normal(weight * mean, weight * np.eye(len(mean)) + weight**2 * covariance)
            noise_alone = multivariate_normal(np.zeros(len(mean)), weight * np.eye(len(mean)))
            log_likelihood.append(0.5 * (marginal.logpdf(contrast) - noise_alone.logpdf(contrast)))
        return np.exp(log_likelihood - logsumexp(log_likelihood))

    responses = [posterior_of_response(0, 0)] * len(trials)
    for _ in range(n_iterations):
        believed = [symbols(k, *responses[k]) for k in range(len(trials))]
        targets = [lit[trial] @ q for trial, q in zip(trials, believed, strict=True)]
        sums = [(t - t.mean()) @ z[trial] for t, trial in zip(targets, trials, strict=True)]
        weights = [len(t) * t.mean() * (1 - t.mean()) for t in targets]
        responses = [
            posterior_of_response(
                sum(s for j, s in enumerate(sums) if j != k), sum(w for j, w in enumerate(weights) if j != k)
            )
            for k in range(len(trials))
        ]
    # what is believed of a flash teaches the score of every flash but itself
    factors = np.concatenate([t - t.mean() for t in targets])
    shares = np.concatenate([np.full(len(t), t.mean() * (1 - t.mean())) for t in targets])
    ratio = scores_without_each(z, factors, shares, prior, m_0, own, own_weight, p)
    return ratio, [symbols(k, *responses[k]) for k in range(len(trials))]


def plain_lone_flashes(X, response, n_iterations=6):
    """Return log likelihood ratios where nobody knows which group each flash lit."""
    z, prior, own, own_weight, steps, at = whitened(X, response)
    p = response.prior_target
    score = []
    for step, m in zip(steps, at, strict=True):
        one = -((step / 2) ** 2) / 2 + 0.5 * (own @ m - own_weight * (m @ m) / 2)
        for e in z:
            by_class = [np.log(q) + f * (e @ m) - f**2 * (m @ m) / 2 for q, f in ((p, 1 - p), (1 - p, -p))]
            one += 0.5 * (logsumexp(by_class) - np.log(1 - p))
        score.append(one)
    m_0 = np.average(at, axis=0, weights=np.exp(np.array(score) - max(score)))
    mean, _ = learnt(prior, m_0, own, own_weight)
    ratio = z @ mean - (0.5 - p) * (mean @ mean)
    for _ in range(n_iterations):
        probability = 1 / (1 + np.exp(-ratio) * (1 - p) / p)
        average = probability.mean()
        shares = np.full(len(z), average * (1 - average))
        ratio = scores_without_each(z, probability - average, shares, prior, m_0, own, own_weight, p)
    return ratio


def rows(trial):
    return range(trial.start, trial.stop)
