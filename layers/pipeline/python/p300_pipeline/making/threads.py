"""One thread for linear algebra: several sum in another order, and round otherwise."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, as many as the functions have, whatever machine this is."""
    # SciPy brings a BLAS of its own. Loaded later, it would have as many threads as the machine has cores.
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield
