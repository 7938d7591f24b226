"""What a process of Django's own test suite imports: its settings, the mode it runs in, what it reports."""
