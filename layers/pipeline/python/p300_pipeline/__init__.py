"""The application: storage, steps, the model registry and serving around the science in `p300`."""
