"""The work: jobflow jobs and flows. The only home of atomate2; no database of its own."""
