"""Command line with one file for each command. A command parses its options, calls one function and prints the result."""
