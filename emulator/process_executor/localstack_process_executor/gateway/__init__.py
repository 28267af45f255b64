"""Guards LocalStack's gateway, which by itself listens on every address and accepts any key from anyone.

`listening` keeps it on this machine; `guard` admits requests that are signed with the stack's own credential and those
that need no signature, and refuses the rest before LocalStack processes them.
"""
