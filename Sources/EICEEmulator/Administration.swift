import Failures
import FoundationEssentials

/// The administration's requests, by which tests change what happens next:
///
/// | request | does |
/// |---|---|
/// | `GET /stats` | the figures |
/// | `GET /faults`, `POST /fault`, `DELETE /faults` | shows, adds, clears faults |
/// | `GET /inventory`, `PUT /inventory` | shows, replaces the inventory; open tunnels stay |
/// | `POST /close` | closes every open tunnel, with `{"code":…,"reason":…}` if given |
struct Administration: Sendable {
    let state: EmulatorState
    /// Closes every open tunnel.
    let closeAll: @Sendable (_ code: UInt16, _ reason: String) -> Void

    func answer(_ request: HTTPRequest) -> HTTPResponse {
        // A page in a browser can reach loopback ports too, but it cannot leave this field out.
        guard request.value(of: "Origin") == nil else { return problem(403, "browsers may not come here") }
        switch (request.method, String(request.path)) {
        case ("GET", "/stats"): return json(state.statistics)
        case ("GET", "/faults"): return json(state.faults)
        case ("POST", "/fault"):
            do throws(Failure) {
                state.add(try Fault.decode(request.body))
                return HTTPResponse(status: 204)
            } catch {
                return problem(400, error.sentence)
            }
        case ("DELETE", "/faults"):
            state.clearFaults()
            return HTTPResponse(status: 204)
        case ("GET", "/inventory"): return json(state.inventory)
        case ("PUT", "/inventory"):
            do throws(Failure) {
                state.replace(inventory: try Inventory.parse(request.body, name: "in the request"))
                return HTTPResponse(status: 204)
            } catch {
                return problem(400, error.sentence)
            }
        case ("POST", "/close"):
            let wish =
                request.body.isEmpty ? CloseWish() : try? JSONDecoder().decode(CloseWish.self, from: Data(request.body))
            guard let wish else { return problem(400, #"{"code":1001,"reason":"…"} is expected"#) }
            closeAll(wish.code ?? 1_001, wish.reason ?? "")
            return HTTPResponse(status: 204)
        default:
            return problem(
                404,
                "there are GET /stats, GET /faults, POST /fault, DELETE /faults, GET /inventory, PUT /inventory, POST /close"
            )
        }
    }

    private struct CloseWish: Codable {
        var code: UInt16?
        var reason: String?
    }

    private func json(_ value: some Encodable) -> HTTPResponse {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(value) else { return problem(500, "the answer cannot be encoded") }
        return HTTPResponse(status: 200, fields: [("Content-Type", "application/json")], body: Array(data) + [10])
    }

    private func problem(_ status: Int, _ why: String) -> HTTPResponse {
        HTTPResponse(
            status: status, fields: [("Content-Type", "text/plain; charset=utf-8")], body: Array("\(why)\n".utf8))
    }
}
