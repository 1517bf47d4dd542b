"""How a stage starts, stops and resumes, and what its result was computed from."""
