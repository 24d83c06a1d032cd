// Replaced by the first parser.
