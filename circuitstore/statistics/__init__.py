"""The statistics that phases share, one idea a module.

An edit of one module leaves the results of the others valid.
"""
