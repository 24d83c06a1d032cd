import ControlClient
import ControlProtocol

extension EicedDaemon {
    /// Calls a method of the daemon in a session of its own.
    public func call<Method: ControlMethod>(
        _ method: Method.Type, _ parameters: Method.Parameters
    ) async throws -> Method.Value where Method.Parameters: Sendable, Method.Value: Sendable {
        let path = socket
        return try await onThread {
            try ControlClient(path: path, client: "tests", timeout: .seconds(60)).call(method, parameters)
        }
    }
}
