"""The Review dock: correct labels slice by slice, undo without a limit, approve what is right, lose nothing."""
