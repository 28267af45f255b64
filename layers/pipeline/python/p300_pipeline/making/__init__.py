"""What makes features and models, and nothing else: a change of what these modules import makes others (`p300_pipeline.provenance`)."""
