"""Training: how rows and encodings reach the model (dataset, preprocessor, collate), and how training is watched."""
