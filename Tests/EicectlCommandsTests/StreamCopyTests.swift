import CLinux
import Failures
import Glibc
import SocketIO
import TestSupport
import Testing

@testable import EicectlCommands
@testable import EicectlProxy

@Suite struct StreamCopyTests {
    /// The ends that a test holds while a copy runs on a thread of its own.
    final class Bench: Sendable {
        /// What the program's user writes to and reads from.
        let toInput: FileDescriptor
        let fromOutput: FileDescriptor
        let remote: FileDescriptor
        let end: Task<StreamCopy.End, any Error>

        enum Kind: CaseIterable {
            case pipes, sockets, oneSocket
        }

        init(_ kind: Kind) throws {
            // A copy that ended early must fail its own test and not end all of them.
            signal(SIGPIPE, SIG_IGN)
            let input: FileDescriptor
            let output: FileDescriptor
            switch kind {
            case .pipes:
                (input, toInput) = try Self.pipe()
                (fromOutput, output) = try Self.pipe()
            case .sockets:
                (input, toInput) = try FileDescriptor.socketPair()
                (fromOutput, output) = try FileDescriptor.socketPair()
            case .oneSocket:
                let (near, far) = try FileDescriptor.socketPair()
                input = near
                output = try near.duplicate()
                toInput = far
                fromOutput = try far.duplicate()
            }
            let (stream, remote) = try FileDescriptor.socketPair()
            self.remote = remote
            end = Task {
                try await onThread {
                    var copy = try StreamCopy(input: input.raw, output: output.raw, stream: stream)
                    let end = copy.run()
                    input.close()
                    output.close()
                    return end
                }
            }
        }

        static func pipe() throws -> (FileDescriptor, FileDescriptor) {
            var ends: [CInt] = [-1, -1]
            guard Glibc.pipe(&ends) == 0 else { throw SystemError("pipe") }
            return (FileDescriptor(takingOwnership: ends[0]), FileDescriptor(takingOwnership: ends[1]))
        }
    }

    static func pattern(_ count: Int, seed: UInt64) -> [UInt8] {
        var state = seed
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 33)
        }
    }

    static func writeAll(_ bytes: [UInt8], to descriptor: FileDescriptor) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                write(descriptor.raw, $0.baseAddress.map { $0 + sent }, bytes.count - sent)
            }
            guard count > 0 else { throw SystemError("write") }
            sent += count
        }
    }

    /// Everything up to the end of file.
    static func readAll(_ descriptor: FileDescriptor) throws -> [UInt8] {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 50_000)
        while true {
            let count = read(descriptor.raw, &buffer, buffer.count)
            if count < 0 { throw SystemError("read") }
            if count == 0 { return all }
            all += buffer[..<count]
        }
    }

    @Test(arguments: Bench.Kind.allCases) func bothDirectionsAtOnceArriveWhole(_ kind: Bench.Kind) async throws {
        let bench = try Bench(kind)
        let up = Self.pattern(3_000_000, seed: 1)
        let down = Self.pattern(4_000_001, seed: 2)
        async let sent: Void = onThread {
            try Self.writeAll(up, to: bench.toInput)
            if kind == .oneSocket { shutdown(bench.toInput.raw, CInt(SHUT_WR)) } else { bench.toInput.close() }
        }
        async let answered: Void = onThread {
            try Self.writeAll(down, to: bench.remote)
        }
        async let received = onThread { try Self.readAll(bench.remote) }
        async let delivered = onThread { try Self.readAll(bench.fromOutput) }
        try await sent
        // The end of the input came through as a half-close, and the answer is not over yet.
        #expect(try await received == up)
        try await answered
        shutdown(bench.remote.raw, CInt(SHUT_WR))
        #expect(try await delivered == down)
        #expect(try await bench.end.value == .streamEnded(received: UInt64(down.count)))
    }

    @Test func readerThatStopsDoesNotHoldUpTheOtherDirection() async throws {
        let bench = try Bench(.pipes)
        // Nobody reads the output: the remote writes until all buffers on the way are full.
        try bench.remote.setNonBlocking()
        let filler = [UInt8](repeating: 1, count: 65_536)
        var stuck = 0
        try await eventually("the way back is full") {
            let count = send(bench.remote.raw, filler, filler.count, CInt(MSG_NOSIGNAL))
            stuck = count > 0 ? 0 : stuck + 1
            return stuck > 10
        }
        try bench.remote.setNonBlocking(false)
        let up = Self.pattern(1_000_000, seed: 3)
        async let sent: Void = onThread {
            try Self.writeAll(up, to: bench.toInput)
            bench.toInput.close()
        }
        #expect(try await onThread { try Self.readAll(bench.remote) } == up)
        try await sent
        bench.fromOutput.close()
        #expect(try await bench.end.value == .outputGone)
    }

    @Test(arguments: Bench.Kind.allCases) func readerThatLeavesEndsItThoughNothingIsWritten(_ kind: Bench.Kind)
        async throws
    {
        let bench = try Bench(kind)
        bench.fromOutput.close()
        if kind == .oneSocket { bench.toInput.close() }
        #expect(try await bench.end.value == .outputGone)
        #expect(try Self.readAll(bench.remote) == [])
    }

    @Test func lastWordsOfAUserWhoLeavesAreDelivered() async throws {
        let bench = try Bench(.oneSocket)
        try Self.writeAll(Array("exit\n".utf8), to: bench.toInput)
        bench.toInput.close()
        bench.fromOutput.close()
        #expect(try await bench.end.value == .outputGone)
        #expect(try Self.readAll(bench.remote) == Array("exit\n".utf8))
    }

    @Test func remoteThatClosesIsTheEndAfterItsLastByte() async throws {
        let bench = try Bench(.pipes)
        try Self.writeAll(Array("bye".utf8), to: bench.remote)
        bench.remote.close()
        #expect(try Self.readAll(bench.fromOutput) == Array("bye".utf8))
        #expect(try await bench.end.value == .streamEnded(received: 3))
    }

    @Test func inheritedPipesKeepTheirMode() async throws {
        let (input, toInput) = try Bench.pipe()
        let (fromOutput, output) = try Bench.pipe()
        let shared = try output.duplicate()
        let (stream, remote) = try FileDescriptor.socketPair()
        var copy = try StreamCopy(input: input.raw, output: output.raw, stream: stream)
        #expect(fcntl(shared.raw, F_GETFL) & O_NONBLOCK == 0)
        #expect(fcntl(input.raw, F_GETFL) & O_NONBLOCK == 0)
        remote.close()
        #expect(copy.run() == .streamEnded(received: 0))
        toInput.close()
        fromOutput.close()
    }
}
