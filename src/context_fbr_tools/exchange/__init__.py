"""Results of other studies, and forms of ours for other people: reports and bundles."""
