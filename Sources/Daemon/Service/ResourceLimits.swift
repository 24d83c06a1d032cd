import Glibc
import Logging

/// What the process may have open.
enum ResourceLimits {
    /// Raises the soft limit of descriptors to the hard one: a tunnel needs two, and the usual 1,024 are soon used up.
    static func raiseDescriptorLimit(logger: Logger) {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0, limit.rlim_cur < limit.rlim_max
        else { return }
        limit.rlim_cur = limit.rlim_max
        if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) != 0 {
            logger.warning("cannot raise the limit of open descriptors: \(String(cString: strerror(errno)))")
        }
    }
}
