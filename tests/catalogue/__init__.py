"""
The catalogue: 96 bugs of Django, servers, libraries and agents, and what shows that Onehop has none of them.

``entries_1`` and ``entries_2`` say where each was reported and what went wrong; the test of one is named after its id
(``test_bug_59_…``, or ``test_bug_3_14_…`` for several) and stands in this folder, or beside the code that it tries.
"""
