"""esgd."""
