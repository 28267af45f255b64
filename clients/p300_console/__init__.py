"""The console: what the pipeline does, in a browser on this machine."""
