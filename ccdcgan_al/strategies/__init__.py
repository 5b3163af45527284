"""The strategies that propose the structures of a round, and the selection of structures to relax."""
