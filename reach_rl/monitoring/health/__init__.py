"""Watches over the records of a run and says what goes wrong, with remedies to type.

A check is a pure function of the records so far; it gives a sign or None. A sign that lasts becomes
a finding, once. Nothing else is remembered, so that a resumed run reads its records again and goes
on where it was.
"""
