"""`context-fbr doctor`: is this machine, and this checkout, fit for the study?"""
