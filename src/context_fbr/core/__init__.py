"""Files, errors, geometry and progress: knows nothing of the study."""
