import Glibc
import Synchronization
import TestSupport
import Testing

@testable import SocketIO

@Suite struct LoopTests {
    @Test func submittedWorkRunsInOrder() async throws {
        let loop = try Loop(label: "test")
        let seen = Mutex<[Int]>([])
        await withCheckedContinuation { continuation in
            for number in 0..<100 { loop.submit { _ in seen.withLock { $0.append(number) } } }
            loop.submit { _ in continuation.resume() }
        }
        #expect(seen.withLock { $0 } == Array(0..<100))
    }

    @Test func deadlinesFireInOrderAndNotBeforeTheirInstant() async throws {
        let loop = try Loop(label: "test")
        let start = ContinuousClock.now
        let fired: [(Int, ContinuousClock.Instant)] = await withCheckedContinuation { continuation in
            loop.submit { loop in
                let log = Log()
                for milliseconds in [30, 10, 20] {
                    _ = loop.schedule(at: start + .milliseconds(milliseconds)) {
                        log.fired.append((milliseconds, .now))
                        if log.fired.count == 3 { continuation.resume(returning: log.fired) }
                    }
                }
                loop.cancel(loop.schedule(after: .milliseconds(5)) { log.fired.append((5, .now)) })
            }
        }
        #expect(fired.map(\.0) == [10, 20, 30])
        for (milliseconds, instant) in fired { #expect(instant >= start + .milliseconds(milliseconds)) }
    }

    @Test func bytesThatCameBeforeRegistrationAreReported() async throws {
        let loop = try Loop(label: "test")
        let (near, far) = try FileDescriptor.socketPair()
        #expect(write(far.raw, "early", 5) == 5)
        let received = await withCheckedContinuation { continuation in
            loop.submit { loop in
                guard let reader = try? Reader(near, on: loop, whenEnded: { continuation.resume(returning: $0) }) else {
                    continuation.resume(returning: [])
                    return
                }
                _ = reader
                far.close()
            }
        }
        #expect(received == Array("early".utf8))
    }

    @Test func aHandlerThatStopsEarlyIsCalledAgain() async throws {
        let loop = try Loop(label: "test")
        let (near, far) = try FileDescriptor.socketPair()
        let payload = [UInt8](repeating: 7, count: 50_000)
        #expect(write(far.raw, payload, payload.count) == payload.count)
        far.close()
        let received = await withCheckedContinuation { continuation in
            loop.submit { loop in
                // One byte a call: all but the first come from the ready list, since there is no new edge.
                _ = try? Reader(near, on: loop, atATime: 100, whenEnded: { continuation.resume(returning: $0) })
            }
        }
        #expect(received == payload)
    }

    /// A read of a Unix socket ends where descriptors were passed, although more bytes are there.
    @Test func bytesBehindPassedDescriptorsAreNotForgotten() async throws {
        let loop = try Loop(label: "test")
        let (near, far) = try FileDescriptor.socketPair()
        let received = await withCheckedContinuation { continuation in
            loop.submit { loop in
                let nobody = Nobody()
                // The writer's end is closed only once all was read: no end of file gives the reader a second chance.
                let sender = try? StreamSocket(far.duplicate(), owner: nobody, on: loop)
                _ = sender?.write(Array("one".utf8), passing: [near])
                _ = sender?.write(Array("two".utf8), passing: [near])
                sender?.close(on: loop)
                _ = try? Reader(near, on: loop, until: 6, whenEnded: { continuation.resume(returning: $0) })
            }
        }
        #expect(received == Array("onetwo".utf8))
        far.close()
    }

    @Test func connectorReachesTheAddressThatListens() async throws {
        let loop = try Loop(label: "test")
        let listener = try Listener.bind(to: #require(SocketAddress(ip: "127.0.0.1", port: 0)))
        let address = try #require(SocketAddress.local(of: listener))
        // A port that was just given back refuses, so that the second address must be tried.
        let refusing = try refusingAddress()
        let result = await connect([refusing, address], on: loop)
        #expect(try result.get() == address)
    }

    @Test func connectorTellsTheFirstErrorWhenNothingListens() async throws {
        let loop = try Loop(label: "test")
        let refusing = try refusingAddress()
        let result = await connect([refusing], on: loop)
        #expect(throws: ConnectError(address: refusing, error: SystemError("connect", code: ECONNREFUSED))) {
            try result.get()
        }
    }

    @Test func familiesTakeTurns() throws {
        let v6 = try ["::1", "::2", "::3"].map { try #require(SocketAddress(ip: $0, port: 1)) }
        let v4 = try ["127.0.0.1"].map { try #require(SocketAddress(ip: $0, port: 1)) }
        #expect(Connector.interleaved(v6 + v4) == [v6[0], v4[0], v6[1], v6[2]])
    }

    @Test("deadlines of one instant fire in the order in which they were set")
    func equalDeadlines() async throws {
        let loop = try Loop(label: "test")
        let instant = ContinuousClock.now + .milliseconds(20)
        let numbers: [Int] = await handedOver { done in
            loop.submit { loop in
                let log = Log()
                for number in 0..<50 {
                    _ = loop.schedule(at: instant) {
                        log.fired.append((number, .now))
                        if log.fired.count == 50 { done(log.fired.map(\.0)) }
                    }
                }
            }
        }
        #expect(numbers == Array(0..<50))
    }

    @Test("a tolerance makes a deadline late by less than itself, and puts many on one instant")
    func tolerance() {
        let grid = Duration.seconds(5)
        let instants = (0..<100).map { Loop.epoch + .milliseconds($0 * 137) }
        for instant in instants {
            let rounded = instant.roundedUp(to: grid)
            #expect(rounded >= instant && rounded < instant + grid)
            #expect(rounded.roundedUp(to: grid) == rounded)
            #expect(instant.roundedUp(to: .zero) == instant)
        }
        #expect(Set(instants.map { $0.roundedUp(to: grid) }).count == 4)
    }

    @Test("a wait in the kernel is rounded up to whole milliseconds")
    func wholeMilliseconds() {
        #expect(Duration.zero.wholeMilliseconds == 0)
        #expect(Duration.nanoseconds(1).wholeMilliseconds == 1)
        #expect(Duration.milliseconds(1).wholeMilliseconds == 1)
        #expect(Duration.nanoseconds(1_000_001).wholeMilliseconds == 2)
        #expect(Duration.milliseconds(2_999).wholeMilliseconds == 2_999)
        #expect(Duration.seconds(1 << 40).wholeMilliseconds == CInt.max)
    }

    @Test("a body put off runs after the present one and before the loop rests, in order")
    func soon() async throws {
        let loop = try Loop(label: "test")
        let numbers: [Int] = await handedOver { done in
            loop.submit { loop in
                let log = Log()
                loop.soon {
                    log.fired.append((2, .now))
                    done(log.fired.map(\.0))
                }
                log.fired.append((1, .now))
            }
        }
        #expect(numbers == [1, 2])
    }

    @Test("an address that does not answer does not hold up the next one")
    func silentAddress() async throws {
        let loop = try Loop(label: "test")
        // With a full queue of connections the kernel leaves the next ones without an answer.
        let full = try Listener.bind(to: #require(SocketAddress(ip: "127.0.0.1", port: 0)), backlog: 0)
        let silent = try #require(SocketAddress.local(of: full))
        let filler = try await onThread { try LoopbackSocket.connect(port: silent.port) }
        let listener = try Listener.bind(to: #require(SocketAddress(ip: "127.0.0.1", port: 0)))
        let address = try #require(SocketAddress.local(of: listener))
        #expect(try await connect([silent, address], on: loop).get() == address)
        filler.close()
    }

    @Test("a connector that is cancelled reports nothing and closes its attempts")
    func cancelledConnector() async throws {
        let loop = try Loop(label: "test")
        let listener = try Listener.bind(to: #require(SocketAddress(ip: "127.0.0.1", port: 0)))
        let address = try #require(SocketAddress.local(of: listener))
        let reports = Mutex(0)
        let connector: LoopBound<Connector> = await handedOver { done in
            loop.submit { loop in
                let cancelled = Connector(to: [address], on: loop) { _ in reports.withLock { $0 += 1 } }
                cancelled.cancel(on: loop)
                done(LoopBound(Connector(to: [address], on: loop) { _ in reports.withLock { $0 += 1 } }, on: loop))
            }
        }
        try await eventually("the other one has connected") { reports.withLock { $0 } == 1 }
        await handedOver { done in
            loop.submit { loop in
                connector.get(on: loop).cancel(on: loop)
                done(())
            }
        }
        #expect(reports.withLock { $0 } == 1)
    }

    @Test("handlers that wait for a quiet loop are told at once when there are more than 64")
    func quiet() async throws {
        let loop = try Loop(label: "test")
        let pairs = try (0..<65).map { _ in try FileDescriptor.socketPair() }
        let told: (before: Int, after: Int) = await withCheckedContinuation { continuation in
            loop.submit { loop in
                let handlers = pairs.compactMap { try? Quiet($0.0, on: loop) }
                for handler in handlers.dropLast() { handler.ask(on: loop) }
                let before = handlers.count { $0.isTold }
                handlers.last?.ask(on: loop)
                continuation.resume(returning: (before, handlers.count { $0.isTold }))
                for handler in handlers { handler.close(on: loop) }
            }
        }
        #expect(told == (0, 64))
        for (_, far) in pairs { far.close() }
    }

    @Test func anIdleLoopUsesNoProcessorTime() async throws {
        let loop = try Loop(label: "test")
        let (near, far) = try FileDescriptor.socketPair()
        await withCheckedContinuation { continuation in
            loop.submit { loop in
                _ = try? Reader(near, on: loop, whenEnded: { _ in })
                continuation.resume()
            }
        }
        // Every wake-up of the loop is an event.
        let before = await loop.eventCount
        await withCheckedContinuation { continuation in
            loop.submit { loop in
                _ = loop.schedule(after: .milliseconds(200)) { continuation.resume() }
            }
        }
        #expect(await loop.eventCount - before <= 6)
        far.close()
    }

    private func refusingAddress() throws -> SocketAddress {
        let descriptor = try Listener.bind(to: #require(SocketAddress(ip: "127.0.0.1", port: 0)))
        defer { descriptor.close() }
        return try #require(SocketAddress.local(of: descriptor))
    }

    private func connect(_ addresses: [SocketAddress], on loop: Loop) async -> Result<SocketAddress, ConnectError> {
        await withCheckedContinuation { continuation in
            loop.submit { loop in
                let holder = Holder()
                holder.connector = Connector(to: addresses, on: loop) { result in
                    continuation.resume(returning: result.map(\.1))
                    holder.connector = nil
                }
            }
        }
    }
}

private final class Holder { var connector: Connector? }
private final class Log { var fired: [(Int, ContinuousClock.Instant)] = [] }

/// Reads until the end of file.
private final class Reader: StreamSocketOwner {
    private var socket: StreamSocket?
    private var received: [UInt8] = []
    private let atATime: Int
    private let limit: Int
    private let whenEnded: ([UInt8]) -> Void
    private var keepAlive: Reader?

    /// - Parameter limit: bytes after which it ends as well.
    init(
        _ descriptor: FileDescriptor, on loop: isolated Loop, atATime: Int = 65_536, until limit: Int = .max,
        whenEnded: @escaping ([UInt8]) -> Void
    ) throws {
        self.atATime = atATime
        self.limit = limit
        self.whenEnded = whenEnded
        socket = try StreamSocket(descriptor, owner: self, on: loop)
        keepAlive = self
    }

    func isReady(_ socket: StreamSocket, on loop: isolated Loop) {
        var chunk = [UInt8](repeating: 0, count: atATime)
        switch chunk.withUnsafeMutableBytes({ socket.read(into: $0) }) {
        case .bytes(let count):
            received += chunk.prefix(count)
            guard received.count < limit else { return end(socket, on: loop) }
            if socket.mayRead { socket.callAgain(on: loop) }
        case .wouldBlock: break
        case .endOfFile, .failed: end(socket, on: loop)
        }
    }

    private func end(_ socket: StreamSocket, on loop: isolated Loop) {
        socket.close(on: loop)
        whenEnded(received)
        keepAlive = nil
    }
}

/// The owner of a socket that is only written to.
private final class Nobody: StreamSocketOwner {
    func isReady(_ socket: StreamSocket, on loop: isolated Loop) {}
}

/// Asks to be told when its loop is quiet.
private final class Quiet: StreamSocketOwner {
    private var socket: StreamSocket?
    private(set) var isTold = false

    init(_ descriptor: FileDescriptor, on loop: isolated Loop) throws {
        socket = try StreamSocket(descriptor, owner: self, on: loop)
    }

    func ask(on loop: isolated Loop) { socket?.tellWhenQuiet(on: loop) }
    func close(on loop: isolated Loop) { socket?.close(on: loop) }
    func isReady(_ socket: StreamSocket, on loop: isolated Loop) {}
    func isQuiet(_ socket: StreamSocket, on loop: isolated Loop) { isTold = true }
}
