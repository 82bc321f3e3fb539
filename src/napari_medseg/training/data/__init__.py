"""What the loop learns from: sources, layouts of published data sets, folders, pairs of files, findings, slices."""
