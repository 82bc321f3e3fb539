"""The View dock: images as radiologists look at them, their left and right, grey windows, colour bars."""
