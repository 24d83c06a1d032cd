import Descriptors

/// This process's environment.
public func environmentVariable(_ name: String) -> String? {
    ProcessStart.variable(name)
}
