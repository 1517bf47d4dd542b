"""Files, errors, geometry and progress, without knowledge of the study."""
