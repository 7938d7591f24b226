"""
Django's own tests on Onehop, compared test by test with stock Django in the same mode: ``make conformance``.

``inside`` is what the processes of Django's test suite import; the rest starts them and compares what they report.
"""
