"""Sessions: what a person does in the window, written down line by line, and done again without a window.

`lines` is the format, `recording` writes it, `finding` finds the files that were opened, `stage` holds the layers as
they are after each step, `steps` does one step, `rerun` a run, `lessons` and `retraining` a fine-tuning, and `job` does
them all and says where the first difference is.
"""
