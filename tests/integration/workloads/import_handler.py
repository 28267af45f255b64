"""A cold start: the function's module, with all that it imports at its top."""

import app  # type: ignore[import-not-found]

assert callable(app.handler)
