/// What a soak came to, and which promises it broke. Pure.
struct SoakReport: Equatable {
    /// KiB by which memory may differ: the allocator keeps what is in pieces. A leak of one buffer in a thousand sessions is
    /// more than that in half an hour.
    static let memoryMargin = 4_096

    var seconds = 0
    var judgement = Judgement()
    var mebibytes = 0
    var faults = 0
    /// What was struck, of the faults that end a connection.
    var harmfulFaults = 0
    var before = Footprint(descriptors: 0, threads: 0, memory: 0)
    var after = Footprint(descriptors: 0, threads: 0, memory: 0)
    /// Slots and places in a queue that were not given back.
    var slotsLeft = 0

    var lines: [String] {
        [
            ("seconds", seconds), ("sessions", judgement.sessions), ("whole", judgement.whole),
            ("failed_with_reason", judgement.failedWithReason), ("unexplained", judgement.unexplained.count),
            ("mebibytes", mebibytes), ("faults", faults), ("slots_left", slotsLeft),
            ("descriptors_grown", after.descriptors - before.descriptors),
            ("threads_grown", after.threads - before.threads), ("memory_grown_kib", after.memory - before.memory),
        ].map { "soak_\($0.0)=\($0.1)" }
    }

    /// Sentences; none where all were kept.
    var brokenPromises: [String] {
        var broken: [String] = []
        if judgement.sessions == 0 { broken.append("there was no session") }
        let lost = judgement.unexplained.count
        if lost > 0 { broken.append("\(lost) sessions or bytes have no explanation") }
        if judgement.whole + judgement.failedWithReason + lost < judgement.sessions {
            broken.append("sessions are missing")
        }
        // Else the faults did not hit what they were meant for, and nothing was shown.
        if harmfulFaults > 0, judgement.failedWithReason == 0 { broken.append("no fault ended a session") }
        if slotsLeft > 0 { broken.append("\(slotsLeft) slots were not given back") }
        if after.descriptors > before.descriptors { broken.append("descriptors have grown") }
        if after.threads > before.threads { broken.append("threads have grown") }
        if after.memory > before.memory + Self.memoryMargin { broken.append("memory has grown") }
        return broken
    }
}
