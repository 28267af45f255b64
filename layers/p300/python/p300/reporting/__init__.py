"""What recordings and models look like: pictures and pages, drawn with Matplotlib and MNE outside the path from recording to model."""
