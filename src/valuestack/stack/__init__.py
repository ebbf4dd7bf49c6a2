"""Terms and offers into one problem; a plan out."""
