// The room is empty; see ARCHITECTURE.md.
