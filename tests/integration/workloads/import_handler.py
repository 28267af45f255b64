"""A cold start: the function's module, with all that it imports at its top."""

import app

assert callable(app.handler)
