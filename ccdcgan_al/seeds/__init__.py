"""Starting structures: prototypes, the user's own files, the Materials Project."""
