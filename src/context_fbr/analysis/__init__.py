"""Result tables, intervals, hypotheses and findings."""
