"""Faults of client, server, code and machine at every phase of a request, and bad input: as stock Django, or better."""
