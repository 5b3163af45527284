"""How a round proposes structures, and which of them are relaxed."""
