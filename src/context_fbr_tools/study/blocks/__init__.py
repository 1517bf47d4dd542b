"""Blocks of pages that repeat what files of results say."""
