"""Commands that run the study and keep it in order."""
