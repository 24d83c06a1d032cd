import ControlProtocol
import Failures
import FoundationEssentials

/// A request as the daemon sees it: `hello` and `connect`, which concern the session itself, and all others.
public enum ControlRequest: Hashable, Sendable {
    case hello(HelloParameters)
    case forwardAdd(ForwardAddParameters)
    case forwardSet(ForwardSetParameters)
    case forwardRemove(ForwardRemoveParameters)
    case forwardList
    case tunnelList(TunnelListParameters)
    case tunnelClose(TunnelCloseParameters)
    case endpointList
    case status
    case connect(ConnectParameters)
    case eventsSubscribe(EventsSubscribeParameters)
    case eventsRecent(EventsRecentParameters)
    case forwardProbe(ForwardProbeParameters)
    case profileList
    case targetList(TargetListParameters)
    case metrics
    case reload
    case shutdown(ShutdownParameters)

    /// A line that is no request that can be fulfilled: what to answer and under which id.
    public struct Refusal: Error, Hashable, Sendable {
        public var id: RequestID
        public var error: ErrorObject

        public init(id: RequestID = .null, _ failure: Failure, code: Int? = nil) {
            self.id = id
            error = ErrorObject(failure, code: code)
        }
    }

    private struct Head: Decodable {
        var jsonrpc: String?
        var id: RequestID?
        var method: String?
    }

    private struct Body<Parameters: Decodable>: Decodable {
        var params: Parameters
    }

    private struct OptionalBody<Parameters: Decodable>: Decodable {
        var params: Parameters?
    }

    /// Reads one line, without its newline.
    public static func parse(_ line: some Collection<UInt8>) throws(Refusal) -> (RequestID, ControlRequest) {
        let data = Data(line)
        let head: Head
        do {
            head = try JSONDecoder().decode(Head.self, from: data)
        } catch DecodingError.dataCorrupted {
            throw Refusal(
                Failure(.invalidRequest, "cannot read the request", why: "the line is not JSON"),
                code: ErrorObject.parseError)
        } catch {
            throw Refusal(notARequest(because: explain(error)), code: ErrorObject.invalidRequest)
        }
        // A message without an id is a notification, and would go unanswered: clients have none to send.
        guard let id = head.id, id != .null else {
            throw Refusal(notARequest(because: "it has no id"), code: ErrorObject.invalidRequest)
        }
        guard head.jsonrpc == "2.0" else {
            throw Refusal(
                id: id, notARequest(because: "\"jsonrpc\" is not \"2.0\""), code: ErrorObject.invalidRequest)
        }
        guard let method = head.method else {
            throw Refusal(id: id, notARequest(because: "it has no method"), code: ErrorObject.invalidRequest)
        }
        return (id, try request(method, id, data))
    }

    private static func request(
        _ method: String, _ id: RequestID, _ data: Data
    ) throws(Refusal) -> ControlRequest {
        /// For parameters of which at least one is needed.
        func needed<Parameters: Decodable>(_: Parameters.Type) throws(Refusal) -> Parameters {
            do {
                return try JSONDecoder().decode(Body<Parameters>.self, from: data).params
            } catch {
                throw Refusal(id: id, Failure(.invalidRequest, "cannot understand \(method)", why: explain(error)))
            }
        }
        func optional<Parameters: Decodable>(_: Parameters.Type, or none: Parameters) throws(Refusal) -> Parameters {
            do {
                return try JSONDecoder().decode(OptionalBody<Parameters>.self, from: data).params ?? none
            } catch {
                throw Refusal(id: id, Failure(.invalidRequest, "cannot understand \(method)", why: explain(error)))
            }
        }
        switch method {
        case Methods.Hello.name: return .hello(try needed(HelloParameters.self))
        case Methods.ForwardAdd.name: return .forwardAdd(try needed(ForwardAddParameters.self))
        case Methods.ForwardSet.name: return .forwardSet(try needed(ForwardSetParameters.self))
        case Methods.ForwardRemove.name: return .forwardRemove(try needed(ForwardRemoveParameters.self))
        case Methods.ForwardList.name: return .forwardList
        case Methods.TunnelList.name: return .tunnelList(try optional(TunnelListParameters.self, or: .init()))
        case Methods.TunnelClose.name: return .tunnelClose(try needed(TunnelCloseParameters.self))
        case Methods.EndpointList.name: return .endpointList
        case Methods.Status.name: return .status
        case Methods.Connect.name: return .connect(try needed(ConnectParameters.self))
        case Methods.EventsSubscribe.name:
            return .eventsSubscribe(try optional(EventsSubscribeParameters.self, or: .init()))
        case Methods.EventsRecent.name:
            return .eventsRecent(try optional(EventsRecentParameters.self, or: .init()))
        case Methods.ForwardProbe.name: return .forwardProbe(try needed(ForwardProbeParameters.self))
        case Methods.ProfileList.name: return .profileList
        case Methods.TargetList.name: return .targetList(try optional(TargetListParameters.self, or: .init()))
        case Methods.Metrics.name: return .metrics
        case Methods.Reload.name: return .reload
        case Methods.Shutdown.name: return .shutdown(try optional(ShutdownParameters.self, or: .init()))
        default:
            throw Refusal(
                id: id,
                Failure(
                    .unknownMethod, "this eiced (\(EICEDVersion.current)) has no method \"\(method.prefix(64))\"",
                    hint: "restart eiced if a newer version is installed"))
        }
    }

    private static func notARequest(because why: String) -> Failure {
        Failure(.invalidRequest, "the line is not a JSON-RPC 2.0 request", why: why)
    }

    /// The decoder's finding in one clause: which field, and what is wrong with it.
    static func explain(_ error: any Error) -> String {
        func path(_ keys: [any CodingKey]) -> String {
            let names = keys.map { key in key.intValue.map { "[\($0)]" } ?? ".\(key.stringValue)" }
            let joined = names.joined()
            return joined.hasPrefix(".") ? String(joined.dropFirst()) : joined
        }
        switch error {
        case DecodingError.keyNotFound(let key, let context):
            return "\(path(context.codingPath + [key])) is missing"
        case DecodingError.valueNotFound(_, let context):
            return "\(path(context.codingPath)) is null"
        case DecodingError.typeMismatch(_, let context):
            let at = path(context.codingPath)
            return at.isEmpty ? "it is not an object" : "\(at) has the wrong type"
        case DecodingError.dataCorrupted(let context):
            let at = path(context.codingPath)
            return at.isEmpty ? context.debugDescription : "\(at): \(context.debugDescription)"
        default:
            return "\(error)"
        }
    }
}
