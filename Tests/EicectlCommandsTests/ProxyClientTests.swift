import CLinux
import Glibc
import SocketIO
import TestSupport
import Testing

@testable import EicectlProxy

@Suite struct ProxyClientTests {
    @Test("only one Unix stream socket as stdin and stdout may be ssh's") func oneUnixStream() throws {
        let (near, far) = try FileDescriptor.socketPair()
        let copy = try near.duplicate()
        #expect(ProxyClient.isOneUnixStream(near.raw, copy.raw))
        #expect(!ProxyClient.isOneUnixStream(near.raw, far.raw))
        let (reading, writing) = try StreamCopyTests.Bench.pipe()
        #expect(!ProxyClient.isOneUnixStream(reading.raw, writing.raw))
        #expect(!ProxyClient.isOneUnixStream(reading.raw, reading.raw))
        let tcp = try FileDescriptor.socket(AF_INET)
        #expect(!ProxyClient.isOneUnixStream(tcp.raw, tcp.raw))
        let datagram = try FileDescriptor.socket(AF_UNIX, SOCK_DGRAM)
        #expect(!ProxyClient.isOneUnixStream(datagram.raw, datagram.raw))
        #expect(ProxyClient.current(reading.raw, writing.raw) == .reads)
    }

    @Test("OpenSSH is known by what is in it, under any name") func openSSHIsKnown() throws {
        let folder = try TemporaryDirectory()
        #expect(ProxyClient.program("/usr/bin/ssh") == .takesDescriptor)
        #expect(symlink("/usr/bin/ssh", folder("client")) == 0)
        #expect(ProxyClient.program(folder("client")) == .takesDescriptor)
    }

    @Test(
        "another program is not taken for OpenSSH, whatever its name is",
        arguments: ["/bin/sh", "/usr/bin/scp", "/usr/sbin/sshd", "/usr/bin/ssh-agent"]
    ) func otherPrograms(_ program: String) throws {
        let folder = try TemporaryDirectory()
        #expect(symlink(program, folder("ssh")) == 0)
        #expect(ProxyClient.program(folder("ssh")) == .reads)
    }

    @Test("a program that cannot be looked into is unknown") func unknownProgram() {
        #expect(ProxyClient.program("/nonexistent/exe") == .unknown)
    }
}

/// A client of which it is unknown whether it takes a descriptor.
@Suite struct TunnelOfferTests {
    private static let banner = Array("SSH-2.0-test\r\n".utf8)

    /// Runs an offer on a thread of its own; the client has the far end of `socket`.
    private struct Bench: Sendable {
        let client: FileDescriptor
        let target: FileDescriptor
        let end: Task<(TunnelOffer.End, rest: [UInt8]), any Error>

        init() throws {
            let (socket, client) = try FileDescriptor.socketPair()
            let (stream, target) = try FileDescriptor.socketPair()
            self.client = client
            self.target = target
            end = Task {
                try await onThread {
                    var offer = try TunnelOffer(stream, over: socket.raw)
                    let end = offer.run()
                    // What is left in the tunnel.
                    var buffer = [UInt8](repeating: 0, count: 1 << 20)
                    let count = recv(stream.raw, &buffer, buffer.count, CInt(MSG_DONTWAIT))
                    return (end, Array(buffer.prefix(max(0, count))))
                }
            }
        }

        func send(_ bytes: [UInt8], over descriptor: FileDescriptor) throws {
            guard Glibc.write(descriptor.raw, bytes, bytes.count) == bytes.count else { throw SystemError("write") }
        }
    }

    private static func read(_ count: Int, from descriptor: FileDescriptor) async throws -> [UInt8] {
        try await onThread {
            var bytes: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 64 << 10)
            while bytes.count < count {
                // As read(2) does: without room for a descriptor.
                let got = Glibc.read(descriptor.raw, &buffer, min(buffer.count, count - bytes.count))
                guard got > 0 else { throw SystemError("read") }
                bytes += buffer.prefix(got)
            }
            return bytes
        }
    }

    @Test("OpenSSH takes the descriptor, and finds every byte in the tunnel") func descriptorIsTaken() async throws {
        let bench = try Bench()
        try bench.send(Self.banner, over: bench.target)
        let (bytes, tunnel) = try await onThread { () -> (Int, CInt) in
            var byte: UInt8 = 0
            var numbers = [CInt](repeating: -1, count: Int(CLINUX_MAX_DESCRIPTORS))
            var count = 0
            var truncated: CInt = 0
            let bytes = clinux_receive_descriptors(bench.client.raw, &byte, 1, 0, &numbers, &count, &truncated)
            return (bytes, count == 1 ? numbers[0] : -1)
        }
        #expect(bytes == 1)
        try #require(tunnel >= 0)
        defer { close(tunnel) }
        bench.client.close()
        let (end, rest) = try await bench.end.value
        #expect(end == .closed)
        #expect(rest == Self.banner)
    }

    @Test("a client that reads and writes gets every byte once") func bytesAreRead() async throws {
        let bench = try Bench()
        // In two parts, as a slow server sends them.
        try bench.send(Array(Self.banner.prefix(4)), over: bench.target)
        #expect(try await Self.read(4, from: bench.client) == Array(Self.banner.prefix(4)))
        try bench.send(Array(Self.banner.dropFirst(4)), over: bench.target)
        #expect(try await Self.read(Self.banner.count - 4, from: bench.client) == Array(Self.banner.dropFirst(4)))
        try bench.send(Array("SSH-2.0-client\r\n".utf8), over: bench.client)
        let (end, rest) = try await bench.end.value
        #expect(end == .reads)
        #expect(rest.isEmpty)
    }

    @Test("a client that writes first gets the stream") func clientWritesFirst() async throws {
        let bench = try Bench()
        try bench.send(Array("GET".utf8), over: bench.client)
        let (end, _) = try await bench.end.value
        #expect(end == .reads)
    }

    @Test("a client that only reads gets more than one buffer") func longStreamIsRead() async throws {
        let bench = try Bench()
        let bytes = (0..<TunnelOffer.capacity + 1_000).map { UInt8(truncatingIfNeeded: $0 / 3) }
        let target = bench.target
        let writer = Task { try await onThread { try bench.send(bytes, over: target) } }
        #expect(
            try await Self.read(TunnelOffer.capacity, from: bench.client) == Array(bytes.prefix(TunnelOffer.capacity)))
        let (end, rest) = try await bench.end.value
        #expect(end == .reads)
        #expect(Array(bytes.suffix(1_000)).starts(with: rest))
        try await writer.value
    }

    @Test("a tunnel that ends is delivered whole before its end") func tunnelEnds() async throws {
        let bench = try Bench()
        try bench.send(Self.banner, over: bench.target)
        bench.target.close()
        let (end, _) = try await bench.end.value
        #expect(end == .ended(received: Self.banner.count))
        #expect(try await Self.read(Self.banner.count, from: bench.client) == Self.banner)
    }

    @Test("a client that leaves ends the offer") func clientLeaves() async throws {
        let bench = try Bench()
        bench.client.close()
        let (end, _) = try await bench.end.value
        #expect(end == .closed)
    }
}
