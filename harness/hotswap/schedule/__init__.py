"""Schedules: which thread of the drivers goes on when, chosen by a test, by a seed, or all of them in turn."""
