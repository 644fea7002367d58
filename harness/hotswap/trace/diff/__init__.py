"""Comparing two traces by what their events mean, and not by when and where they happened."""
