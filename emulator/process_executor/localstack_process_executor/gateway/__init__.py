"""Guards LocalStack's gateway, which by itself listens on every address and takes any key from anybody.

`listening` keeps it on this machine, `guard` lets through what is signed with the stack's own credential and what needs
no signature, and refuses the rest before LocalStack looks at it.
"""
