"""What a person writes about a site, and its loaders."""
