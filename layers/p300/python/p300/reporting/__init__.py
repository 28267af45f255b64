"""What a recording looks like: a picture and a page, drawn with Matplotlib and MNE outside the path from recording to model."""
