"""The statistics that phases share.

Each module is one idea, so that an edit of one leaves the results of the others valid.
"""
