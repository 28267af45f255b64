"""The subcommands of `p300`, by what they are about."""
