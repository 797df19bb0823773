"""Which images of a data set would make a score look better than it is.

    tf.train.Examples of all splits -> find (Beam) -> lines -> Leaks: groups, counts, notes

- exact: the pixels are equal once decoded, whatever the files are.
- near: the same picture, encoded anew, resized, or shifted by up to two of 64 pixels.
- burst: photographs that a camera took one right after the other, by the numbers in their names.
- label conflicts: one picture, exact or near, under two classes.
"""
