"""Language models and transcoders: loading, capture, the frozen linear replacement model, interventions.

Imports nothing of circuitstore but its errors, so that what computes content can be fingerprinted by itself.
"""
