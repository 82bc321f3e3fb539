"""What the loop learns from: sources, layouts of public data sets, folders, findings, views."""
