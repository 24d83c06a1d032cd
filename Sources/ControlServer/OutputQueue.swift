import SocketIO

/// What a session has to write and could not yet: lines, one of which may carry a descriptor.
struct OutputQueue {
    private struct Part {
        var bytes: [UInt8]
        var written = 0
        /// Rides on the first byte; closed when it is sent.
        var descriptor: FileDescriptor?
    }

    enum Outcome: Equatable {
        case empty, blocked
        case failed(SystemError)
    }

    private var parts: [Part] = []
    /// Bytes that wait.
    private(set) var pending = 0

    var isEmpty: Bool { parts.isEmpty }

    mutating func append(_ bytes: [UInt8], passing descriptor: FileDescriptor? = nil) {
        pending += bytes.count
        parts.append(Part(bytes: bytes, descriptor: descriptor))
    }

    mutating func write(to socket: StreamSocket) -> Outcome {
        var done = 0
        defer { parts.removeFirst(done) }
        while done < parts.count {
            let result: StreamSocket.WriteResult
            if let descriptor = parts[done].descriptor {
                result = socket.write(parts[done].bytes, passing: [descriptor])
            } else {
                let written = parts[done].written
                result = parts[done].bytes.withUnsafeBytes { socket.write(.init(rebasing: $0[written...])) }
            }
            switch result {
            case .wrote(let count):
                parts[done].written += count
                parts[done].descriptor?.close()
                parts[done].descriptor = nil
                pending -= count
                if parts[done].written == parts[done].bytes.count { done += 1 }
            case .wouldBlock: return .blocked
            case .failed(let error): return .failed(error)
            }
        }
        return .empty
    }

    /// All that is unwritten, for whoever takes the socket over.
    mutating func takeAll() -> [UInt8] {
        defer {
            parts.removeAll()
            pending = 0
        }
        return parts.flatMap { $0.bytes[$0.written...] }
    }
}
