import SocketIO
import Testing

@Suite struct NetworkTests {
    @Test(arguments: [
        ("10.0.0.0/8", "10.255.1.2", true), ("10.0.0.0/8", "11.0.0.1", false), ("10.1.2.3", "10.1.2.3", true),
        ("10.1.2.3", "10.1.2.4", false), ("192.168.4.0/22", "192.168.7.255", true),
        ("192.168.4.0/22", "192.168.8.0", false), ("0.0.0.0/0", "203.0.113.9", true), ("0.0.0.0/0", "::1", false),
        ("::/0", "10.0.0.1", false), ("fd00::/8", "fdff::1", true), ("fd00::/8", "fe00::1", false),
        ("2001:db8::/33", "2001:db8:7fff::1", true), ("2001:db8::/33", "2001:db8:8000::1", false),
        // Bits after the prefix are of no meaning.
        ("10.9.9.9/8", "10.1.1.1", true),
    ])
    func whatLiesInANetwork(network: String, address: String, isInside: Bool) throws {
        let network = try #require(Network(parsing: network))
        #expect(network.contains(try #require(SocketAddress(ip: address, port: 22))) == isInside)
    }

    @Test(arguments: [
        "", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8", "10.0.0/8", "fd00::/129",
        "host/8", "10.0.0.0/ 8",
    ])
    func whatIsNoNetwork(text: String) { #expect(Network(parsing: text) == nil) }

    @Test func aUnixSocketLiesInNone() throws {
        #expect(try !#require(Network(parsing: "0.0.0.0/0")).contains(try #require(SocketAddress(unixPath: "/a"))))
    }

    @Test(arguments: [
        ("127.0.0.1", true), ("127.8.7.6", true), ("::1", true),
        // Documentation's (RFC 5737, RFC 3849): nobody has them.
        ("192.0.2.1", false), ("2001:db8::1", false),
    ])
    func addressesOfThisHost(address: String, isOurs: Bool) throws {
        #expect(try #require(SocketAddress(ip: address, port: 5)).isOfThisHost == isOurs)
    }
}
