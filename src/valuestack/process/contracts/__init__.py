"""Step 5: what each clause costs or earns."""
