/// The kinds, in groups that share an exit code of `<sysexits.h>`. This is the one place where a kind gets its code.
extension Failure.Kind {
    // EX_USAGE 64
    public static let usage = Self(rawValue: "usage")

    // EX_DATAERR 65
    public static let invalidRequest = Self(rawValue: "invalid-request")
    public static let nameTaken = Self(rawValue: "name-taken")
    public static let unknownMethod = Self(rawValue: "unknown-method")
    public static let lineTooLong = Self(rawValue: "line-too-long")

    // EX_NOHOST 68
    public static let unknownForward = Self(rawValue: "unknown-forward")
    public static let unknownTunnel = Self(rawValue: "unknown-tunnel")
    public static let unknownTarget = Self(rawValue: "unknown-target")
    public static let ambiguousTarget = Self(rawValue: "ambiguous-target")
    public static let targetNotRunning = Self(rawValue: "target-not-running")
    public static let targetWithoutAddress = Self(rawValue: "target-without-address")
    public static let noEndpoint = Self(rawValue: "no-endpoint")
    public static let endpointUnusable = Self(rawValue: "endpoint-unusable")
    public static let portRefused = Self(rawValue: "port-refused")
    public static let targetUnreachable = Self(rawValue: "target-unreachable")

    // EX_UNAVAILABLE 69
    public static let daemonUnreachable = Self(rawValue: "daemon-unreachable")

    // EX_SOFTWARE 70
    public static let `internal` = Self(rawValue: "internal")

    // EX_CANTCREAT 73
    public static let cannotListen = Self(rawValue: "cannot-listen")
    public static let tooManyForwards = Self(rawValue: "too-many-forwards")

    // EX_IOERR 74
    public static let stateNotSaved = Self(rawValue: "state-not-saved")

    // EX_TEMPFAIL 75
    public static let throttled = Self(rawValue: "throttled")
    public static let endpointFull = Self(rawValue: "endpoint-full")
    public static let serviceUnavailable = Self(rawValue: "service-unavailable")
    public static let deadline = Self(rawValue: "deadline")
    public static let nameNotResolved = Self(rawValue: "name-not-resolved")
    public static let cannotConnect = Self(rawValue: "cannot-connect")
    public static let daemonRunning = Self(rawValue: "daemon-running")
    public static let shuttingDown = Self(rawValue: "shutting-down")
    public static let handoverFailed = Self(rawValue: "handover-failed")
    public static let connectionLost = Self(rawValue: "connection-lost")
    public static let tooManySessions = Self(rawValue: "too-many-sessions")

    // EX_PROTOCOL 76
    public static let tls = Self(rawValue: "tls")
    public static let webSocket = Self(rawValue: "websocket")
    public static let upgradeRefused = Self(rawValue: "upgrade-refused")
    public static let protocolMismatch = Self(rawValue: "protocol-mismatch")

    // EX_NOPERM 77
    public static let accessDenied = Self(rawValue: "access-denied")
    public static let expiredCredentials = Self(rawValue: "expired-credentials")
    public static let needsLogin = Self(rawValue: "needs-login")
    public static let foreignSocket = Self(rawValue: "foreign-socket")

    // EX_CONFIG 78
    public static let noCredentials = Self(rawValue: "no-credentials")
    public static let unknownProfile = Self(rawValue: "unknown-profile")
    public static let noRegion = Self(rawValue: "no-region")
    public static let malformedFile = Self(rawValue: "malformed-file")
    public static let configuration = Self(rawValue: "configuration")
    public static let helperFailed = Self(rawValue: "helper-failed")
    public static let foreignCredentials = Self(rawValue: "foreign-credentials")

    /// The exit code of a program that ends with a failure of this kind. A kind that this version does not know
    /// ends with 70: it is a fault between two programs of ours, not the user's.
    public var exitCode: Int32 {
        switch self {
        case .usage: 64
        case .invalidRequest, .nameTaken, .unknownMethod, .lineTooLong: 65
        case .unknownForward, .unknownTunnel, .unknownTarget, .ambiguousTarget, .targetNotRunning,
            .targetWithoutAddress, .noEndpoint, .endpointUnusable, .portRefused, .targetUnreachable:
            68
        case .daemonUnreachable: 69
        case .cannotListen, .tooManyForwards: 73
        case .stateNotSaved: 74
        case .throttled, .endpointFull, .serviceUnavailable, .deadline, .nameNotResolved, .cannotConnect,
            .daemonRunning, .shuttingDown, .handoverFailed, .connectionLost, .tooManySessions:
            75
        case .tls, .webSocket, .upgradeRefused, .protocolMismatch: 76
        case .accessDenied, .expiredCredentials, .needsLogin, .foreignSocket: 77
        case .noCredentials, .unknownProfile, .noRegion, .malformedFile, .configuration, .helperFailed,
            .foreignCredentials:
            78
        default: 70
        }
    }
}
