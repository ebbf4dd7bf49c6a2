"""What may be known of the future: one file a method. A forecaster is handed the past and nothing else."""
