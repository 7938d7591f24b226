"""A small project served by stock Django and by Onehop, side by side, counted and timed."""
