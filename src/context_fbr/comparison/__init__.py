"""What changed between two commits, from what git keeps of them."""
