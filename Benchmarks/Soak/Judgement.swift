/// What a session came to, seen by its two sides.
enum Outcome: Hashable, Sendable {
    /// Every byte came, both ways.
    case whole
    /// Not all of it did.
    case broken(String)
    /// A byte came that nobody sent.
    case altered(String)
}

/// How the daemon says that a tunnel ended: a line of its audit.
struct ReportedEnd: Hashable, Sendable, Decodable {
    var tunnel: String
    var forward: String?
    var target: String
    var reason: String
    var sentence: String

    /// Tunnels are numbered in the order in which their connections came.
    var number: Int { Int(tunnel.dropFirst()) ?? 0 }

    /// Whether it says that something went wrong: who reads it knows that not all may have come. The others are ends that the
    /// two sides wanted.
    var isAReason: Bool { !["local-closed", "remote-closed", "client-left", "unused"].contains(reason) }
}

/// Holds what the sessions of one lane came to against what the daemon told of them. Pure.
struct Judgement: Equatable {
    var sessions = 0
    var whole = 0
    var failedWithReason = 0
    /// What breaks the promise: sessions that lost bytes without a word, bytes that nobody sent, ends that are missing.
    var unexplained: [String] = []
    /// How many sessions failed for each reason.
    var reasons: [String: Int] = [:]

    /// - Parameters:
    ///   - outcomes: of the lane's sessions, in their order.
    ///   - ends: what the daemon told of the lane's tunnels, in any order.
    init(of lane: String, outcomes: [Outcome], ends: [ReportedEnd]) {
        sessions = outcomes.count
        let ends = ends.sorted { $0.number < $1.number }
        if ends.count != outcomes.count {
            unexplained.append("\(lane): \(outcomes.count) sessions, and the audit has \(ends.count)")
        }
        for (index, outcome) in outcomes.enumerated() {
            let end = index < ends.count ? ends[index] : nil
            switch outcome {
            case .whole: whole += 1
            case .broken(let what):
                if let end, end.isAReason {
                    failedWithReason += 1
                    reasons[end.reason, default: 0] += 1
                } else {
                    unexplained.append("\(lane) \(index + 1): \(what); \(end.map(\.sentence) ?? "no end was told")")
                }
            case .altered(let what): unexplained.append("\(lane) \(index + 1): \(what)")
            }
        }
    }

    init() {}

    static func += (sum: inout Judgement, next: Judgement) {
        sum.sessions += next.sessions
        sum.whole += next.whole
        sum.failedWithReason += next.failedWithReason
        sum.unexplained += next.unexplained
        sum.reasons.merge(next.reasons) { $0 + $1 }
    }
}
