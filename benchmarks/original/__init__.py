"""The original study's way, from MONAI's stock parts and nibabel: what ours is measured against.

Written from scratch after the published protocol; no line is the original's. Where the protocol leaves
something open, the faster of the usual ways is taken, so that no ratio is owed to a straw man.
"""
