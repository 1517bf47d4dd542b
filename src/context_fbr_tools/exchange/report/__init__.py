"""The report: one HTML file with the answer, its figures, tables, cases and the origin of each number."""
