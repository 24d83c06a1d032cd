/// Whoever does I/O by loops has descriptors as well; they are a module of their own for programs that have no loop.
@_exported import Descriptors
