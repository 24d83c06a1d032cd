// Replaced by the program's first line.
