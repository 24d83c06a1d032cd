import FoundationEssentials

/// The JSON body of a refusal. Names are taken in any case, since the service's own are not published in full.
struct RefusalBody: Decodable {
    let code: String?
    let message: String?

    /// Nil where the body is no JSON object.
    init?(_ body: [UInt8]) {
        guard body.count <= 65_536, let parsed = try? JSONDecoder().decode(RefusalBody.self, from: Data(body)) else {
            return nil
        }
        self = parsed
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: AnyKey.self)
        func text(_ names: [String]) -> String? {
            for name in names {
                for key in container.allKeys where key.stringValue.lowercased() == name {
                    if let value = try? container.decode(String.self, forKey: key) { return value }
                }
            }
            return nil
        }
        // `com.amazonaws…#AccessDeniedException` means its last part.
        code = text(["errorcode", "code", "__type"]).map { $0.split(separator: "#").last.map(String.init) ?? $0 }
        message = text(["message", "errormessage"])
    }

    private struct AnyKey: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }
}
