"""Where layouts and names of events come from: the trace itself, manifests, and what is built in."""
